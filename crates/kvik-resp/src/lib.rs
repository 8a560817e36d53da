//! The wire: RESP2 and RESP3, parse and encode, no I/O.
