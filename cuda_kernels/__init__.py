"""Device kernels, one folder each: `reference` defines it in NumPy, `kernel` runs it in Triton.

Both hold a function of the folder's name with the same arguments. A `reference` needs NumPy alone.
Never imports `engine`.
"""
