"""Generated modules: one for each loss; never edited by hand."""
