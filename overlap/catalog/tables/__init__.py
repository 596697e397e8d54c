"""Tables of labels, groups and templates: reading of rows, recognition of what they contain."""
