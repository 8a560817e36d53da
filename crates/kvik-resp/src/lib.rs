//! The wire: RESP2 and RESP3, parse and encode, no I/O.
//!
//! A server reads bytes into a buffer, asks [`RequestParser`] for the next command and gets its
//! arguments as [`Span`]s of that buffer: nothing is copied and nothing is allocated from a length
//! that a client only announced. It answers through [`Reply`], which writes into an [`Output`] in
//! the protocol version of the connection; large strings take part in it by reference. A client
//! uses [`ArgsBuf`] and [`encode_command`] for the way out and [`ReplyDecoder`] for the way back.
//!
//! Numbers are part of the protocol: which byte strings count as an integer or a float, and how a
//! float is printed, decides what clients see. Those rules are in [`parse_i64`], [`parse_f64`],
//! [`format_f64`] and [`LongDouble`].

#![forbid(unsafe_code)]

mod args;
mod decode;
mod inline;
mod long_double;
mod natural;
pub mod number;
mod output;
mod reading;
mod reply;
mod request;
mod text;
mod value;

pub use args::{Args, ArgsBuf, ArgsIter, LargeArg, Span, encode_command};
pub use decode::{DecodeError, DecodeLimits, ReplyDecoder};
pub use inline::{UnbalancedQuotes, split_line};
pub use kvik_float::{FloatText, format_f64};
pub use long_double::LongDouble;
pub use number::{parse_f64, parse_i64};
pub use output::{BY_REFERENCE_BYTES, Output, OutputPiece};
pub use reading::{ReplyReader, ReplyToken};
pub use reply::{Deferred, Protocol, Reply};
pub use request::{Limits, Parsed, ProtocolError, RequestParser};
pub use text::Text;
pub use value::Value;
