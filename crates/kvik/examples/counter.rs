//! Counts visits in a store inside this program: `cargo run -p kvik --example counter`.

#![allow(clippy::print_stdout, reason = "it prints its results")]

use std::time::Duration;

use kvik::{Db, Error};

fn main() -> Result<(), Error> {
    let db = Db::memory();
    for page in ["home", "about", "home"] {
        db.increment(page.as_bytes(), 1)?;
    }
    // Typed methods and commands see the same keys.
    let home = db.run(&["GET", "home"]);
    println!("home: {}", home.as_str().unwrap_or("no visits"));
    assert_eq!(home.as_int(), Some(2));

    // Old counts go by themselves.
    db.expire(b"about", Duration::from_secs(3600))?;
    let left = db.time_to_live(b"about")?.flatten();
    println!("about is forgotten in {left:?}");
    assert!(left.is_some());
    Ok(())
}

#[test]
fn it_runs() {
    assert_eq!(main(), Ok(()));
}
