"""The stages of dvc.yaml. Each parses its arguments and calls the library.

They import the library late, so that --help is fast and Ctrl-C during the imports prints one line.
"""
