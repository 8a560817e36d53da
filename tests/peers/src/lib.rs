//! Programs that use kevy-client or redis-rs, each in `src/bin`; an argument is the port to connect
//! to.
//!
//! Those of kevy-client state what it promises its users. Kevy itself holds it, but for the count
//! of subscriptions that are left, in which it leaves out the patterns.

/// Either what was wanted or a line that says what was not.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The port in the program's argument.
///
/// # Errors
/// If there is none.
pub fn port() -> Result<u16, Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).ok_or("a port is wanted")?;
    Ok(port.parse()?)
}

/// The address of the server.
///
/// # Errors
/// If no port is given.
pub fn url() -> Result<String, Box<dyn std::error::Error>> {
    Ok(format!("kevy://127.0.0.1:{}", port()?))
}

/// Bytes of several words, in order.
pub fn words<const N: usize>(words: [&str; N]) -> Vec<Vec<u8>> {
    words.map(|word| word.as_bytes().to_vec()).to_vec()
}

/// The same in order of bytes.
pub fn sorted(mut list: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    list.sort();
    list
}
