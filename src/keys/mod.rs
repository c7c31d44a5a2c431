//! Port: KMS itself. Key details through a bounded, shared cache.
