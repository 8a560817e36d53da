//! The bytes with which a record starts that is not a value, and those that stand before a value.

/// The names of fields that hashes share.
pub(super) const SHAPE: u8 = 242;
/// How many keys a cluster slot holds: a hint.
pub(super) const SLOT_INFO: u8 = 244;
/// The code of a library of functions.
pub(crate) const FUNCTION2: u8 = 245;
/// A library as the release candidates of Redis 7.0 wrote it.
pub(crate) const FUNCTION_PRE_GA: u8 = 246;
/// A module's data besides its values.
pub(super) const MODULE_AUX: u8 = 247;
/// Seconds since the next key was last used.
pub(super) const IDLE: u8 = 248;
/// The logarithmic access counter of the next key.
pub(super) const FREQ: u8 = 249;
/// A name and a text about the file.
pub(super) const AUX: u8 = 250;
/// How many keys the database has and how many of them expire: a hint.
pub(super) const RESIZEDB: u8 = 251;
/// When the next key expires, in milliseconds.
pub(super) const EXPIRETIME_MS: u8 = 252;
/// When the next key expires, in seconds.
pub(super) const EXPIRETIME: u8 = 253;
/// The database of the keys that follow.
pub(super) const SELECTDB: u8 = 254;
/// The end of the records.
pub(super) const EOF: u8 = 255;
