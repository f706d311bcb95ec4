//! Whole stories of destinations, through restarts.
