//! AWS client set-up.
