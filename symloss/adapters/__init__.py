"""Adapters: the losses as the objects that other libraries ask for. Each imports its library when imported itself."""
