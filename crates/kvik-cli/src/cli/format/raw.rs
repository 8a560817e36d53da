//! Replies for scripts: bare bytes, elements one after the other, no types.

use kvik_client::Value;

/// Appends `reply`; `between` separates the elements of aggregates, on whatever level.
pub(super) fn render(out: &mut Vec<u8>, reply: &Value, between: &[u8]) {
    match reply {
        Value::Null => {}
        Value::Simple(text) => out.extend_from_slice(text.as_bytes()),
        Value::BigNumber(digits) => out.extend_from_slice(digits.as_bytes()),
        Value::Error(text) => {
            out.extend_from_slice(text.as_bytes());
            // redis-cli ends the line of an error itself, whatever follows a reply.
            out.push(b'\n');
        }
        Value::Integer(integer) => out.extend_from_slice(integer.to_string().as_bytes()),
        Value::Double(value) => out.extend_from_slice(double(*value).as_bytes()),
        Value::Boolean(boolean) => out.extend_from_slice(format!("({boolean})").as_bytes()),
        Value::Bulk(bytes) | Value::Verbatim { text: bytes, .. } => out.extend_from_slice(bytes),
        Value::Array(values) | Value::Set(values) | Value::Push(values) => {
            join(out, values, between, |out, value| {
                render(out, value, between)
            });
        }
        Value::Map(pairs) => join(out, pairs, between, |out, (key, value)| {
            render(out, key, between);
            out.push(b' ');
            render(out, value, between);
        }),
        Value::Attributed { value, .. } => render(out, value, between),
    }
}

fn join<T>(out: &mut Vec<u8>, items: &[T], between: &[u8], each: impl Fn(&mut Vec<u8>, &T)) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(between);
        }
        each(out, item);
    }
}

/// A double as servers write it.
pub(super) fn double(value: f64) -> String {
    kvik_resp::format_f64(value).as_str().to_owned()
}
