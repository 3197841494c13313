"""Adapters: the losses as the objects that other libraries ask for. Each module imports its library when it is imported."""
