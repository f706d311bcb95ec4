//! What a session says to those who learn from it.
