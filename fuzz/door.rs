//! The commands that a codec makes of a stream. The first byte of the data is how many bytes come
//! at once.

use kvik_server::codec::{CommandBatch, CodecSettings, BatchEnd, Incoming, Speech, Tail};

type Commands = Vec<(u8, u32, Vec<Vec<u8>>)>;

pub(crate) fn check(speech: Speech, settings: &CodecSettings, data: &[u8]) {
    let [piece, stream @ ..] = data else { return };
    let (whole, ends) = parse(speech, settings, stream, stream.len().max(1));
    let (cut, cut_ends) = parse(speech, settings, stream, usize::from(*piece).max(1));
    // A connection of nkv without a subscription ends when it has no more requests, which depends
    // on where the stream is cut.
    let common = if ends && cut_ends { whole.len().min(cut.len()) } else { usize::MAX };
    let shown = |commands: &Commands| commands.iter().take(common).cloned().collect::<Commands>();
    assert_eq!((shown(&cut), cut_ends), (shown(&whole), ends));
}

fn parse(speech: Speech, settings: &CodecSettings, stream: &[u8], piece: usize) -> (Commands, bool) {
    let mut codec = speech.codec(0, settings);
    let (mut commands, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        let is_last = end == stream.len();
        let mut batch = CommandBatch::default();
        let incoming = Incoming {
            input: &stream[start..end],
            tail: if is_last { Tail::Last } else { Tail::Open },
            now_ms: 0,
        };
        let progress = codec.parse(&incoming, &mut batch);
        assert!(progress.consumed <= end - start);
        start += progress.consumed;
        for request in batch.requests() {
            let words = batch.args(request).iter().chain(batch.notes(request).iter());
            let words = words.map(<[u8]>::to_vec).collect();
            commands.push((request.mark, request.database, words));
        }
        match progress.end {
            BatchEnd::Full => {}
            BatchEnd::Close => return (commands, true),
            BatchEnd::Incomplete(_) | BatchEnd::Silence(_) if is_last => return (commands, false),
            _ => end = stream.len().min(end + piece),
        }
    }
}
