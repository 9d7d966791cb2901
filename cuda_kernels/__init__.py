"""Device kernels, one folder each: `reference` defines it in NumPy, `kernel` runs it in Triton.

Both hold functions of the same names and arguments, in the same order. Where one of `reference`
takes the dtype of its result and returns that, the one of `kernel` takes the array to write.
A `reference` needs NumPy alone. Never imports `engine`.
"""
