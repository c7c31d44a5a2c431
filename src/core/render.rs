//! From an incident and an event to a notification: plain text, no markup.
