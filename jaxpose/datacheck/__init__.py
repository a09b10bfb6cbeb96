"""Checks a dataset before training: annotations, images, and a sheet of samples to look at.

`jaxpose data DIR` calls it; `jaxpose.datacheck.command` has its arguments and its steps.
"""
