//! Data the project curates: package names per distribution, kernels.
