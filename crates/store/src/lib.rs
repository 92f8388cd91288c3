//! Bookings in PostgreSQL or SQLite.
