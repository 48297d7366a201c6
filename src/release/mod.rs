//! Checksums, SBOM, provenance, signatures, store, download pages.
