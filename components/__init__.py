"""One KFP component per file: typed ports, a docstring, an image; the body is an import and a call."""
