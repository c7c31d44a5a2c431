//! Fills an event with what is known of its key.
