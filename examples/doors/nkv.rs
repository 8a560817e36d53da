//! A client of nkv in Rust, without dependencies: put, get, and the changes below a key.
//!
//! `rustc nkv.rs && ./nkv 127.0.0.1:4222`

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;

/// Sends one request on a connection of its own and returns the words of the reply.
fn ask(address: &str, request: &str) -> io::Result<Vec<String>> {
    let mut stream = TcpStream::connect(address)?;
    writeln!(stream, "{request}")?;
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply)?;
    Ok(reply.split_whitespace().map(str::to_owned).collect())
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:4222".into());
    let mut subscription = TcpStream::connect(&address)?;
    // VALUE asks for what is there already.
    writeln!(subscription, "SUB 1 example lamps VALUE")?;
    let mut news = BufReader::new(subscription).lines();
    let mut hear = || news.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
    println!("{}", hear()?);

    // Values are base64: "on" is b24=.
    println!("{}", ask(&address, "PUT 2 example lamps.kitchen b24=")?.join(" "));
    println!("{}", hear()?);
    println!("{}", ask(&address, "GET 3 example lamps.*")?.join(" "));
    println!("{}", ask(&address, "DEL 4 example lamps.kitchen")?.join(" "));
    println!("{}", hear()?);
    Ok(())
}
