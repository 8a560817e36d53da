//! One stripe of the keyspace: values, expiry, accounting.
