//! Channels and patterns, over RESP2 and RESP3.

use std::time::Duration;

use kevy_client::{Connection, PubsubEvent, Subscriber};
use kvik_peers::{Outcome, url};

const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Outcome {
    for resp3 in [false, true] {
        listen(resp3)?;
    }
    let url = url()?;
    let mut subscriber = Subscriber::open(&url, &[b"burst"])?;
    subscriber.set_read_timeout(Some(PATIENCE))?;
    assert!(matches!(subscriber.recv()?, PubsubEvent::Subscribe { .. }));
    let mut client = Connection::open(&url)?;
    for number in 0..2000 {
        assert_eq!(client.publish(b"burst", format!("{number}").as_bytes())?, 1);
    }
    for (number, message) in subscriber.messages().take(2000).enumerate() {
        assert_eq!(
            message?,
            (b"burst".to_vec(), format!("{number}").into_bytes())
        );
    }
    Ok(())
}

fn listen(resp3: bool) -> Outcome {
    let url = url()?;
    let mut client = Connection::open(&url)?;
    assert_eq!(client.publish(b"news", b"nobody hears")?, 0);
    let mut subscriber = Subscriber::connect(&url)?;
    subscriber.set_read_timeout(Some(PATIENCE))?;
    if resp3 {
        subscriber.hello3()?;
    }
    subscriber.subscribe(&[b"news", b"sport"])?;
    subscriber.psubscribe(&[b"n?ws"])?;
    for (name, number) in [("news", 1), ("sport", 2)] {
        let (channel, count) = (name.into(), number);
        assert_eq!(
            subscriber.recv()?,
            PubsubEvent::Subscribe { channel, count }
        );
    }
    let (pattern, count) = (b"n?ws".to_vec(), 3);
    assert_eq!(
        subscriber.recv()?,
        PubsubEvent::Psubscribe { pattern, count }
    );
    assert_eq!(client.publish(b"news", b"hello\0\r\n")?, 2);
    let (channel, payload) = (b"news".to_vec(), b"hello\0\r\n".to_vec());
    assert_eq!(
        subscriber.recv()?,
        PubsubEvent::Message { channel, payload }
    );
    let (channel, payload) = (b"news".to_vec(), b"hello\0\r\n".to_vec());
    let pattern = b"n?ws".to_vec();
    let event = PubsubEvent::Pmessage {
        pattern,
        channel,
        payload,
    };
    assert_eq!(subscriber.recv()?, event);
    subscriber.unsubscribe(&[b"sport"])?;
    subscriber.punsubscribe(&[])?;
    let (channel, count) = (Some(b"sport".to_vec()), 2);
    assert_eq!(
        subscriber.recv()?,
        PubsubEvent::Unsubscribe { channel, count }
    );
    let (pattern, count) = (Some(b"n?ws".to_vec()), 1);
    assert_eq!(
        subscriber.recv()?,
        PubsubEvent::Punsubscribe { pattern, count }
    );
    assert_eq!(client.publish(b"sport", b"nobody hears")?, 0);
    assert_eq!(client.publish(b"news", b"last")?, 1);
    assert_eq!(
        subscriber.recv_message()?,
        (b"news".to_vec(), b"last".to_vec())
    );
    subscriber.set_read_timeout(Some(Duration::from_millis(20)))?;
    assert!(subscriber.recv().is_err());
    Ok(())
}
