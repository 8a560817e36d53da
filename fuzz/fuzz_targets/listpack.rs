//! Whatever bytes are taken for a listpack: reading them never panics and ends. What validates
//! reads the same from both ends, and after changes at the places that the bytes themselves choose
//! it still validates.

#![no_main]

use kvik_store::IntText;
use kvik_store::packed::{Element, Listpack, Needle, listpack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [choice, bytes @ ..] = data else {
        return;
    };
    let view = Listpack::new(bytes);
    let forward: Vec<usize> = std::iter::successors(view.first(), |at| view.next(*at)).collect();
    let backward: Vec<usize> = std::iter::successors(view.last(), |at| view.prev(*at)).collect();
    let _ = (view.get(backward.len()), view.find(data, 1));
    if Listpack::validate(bytes).is_some() {
        assert!(forward.iter().eq(backward.iter().rev()));
        read(view, &forward);
        change(bytes, &forward, usize::from(*choice));
    }
});

fn text(element: Element<'_>) -> Vec<u8> {
    element.text(&mut IntText::default()).to_vec()
}

fn read(view: Listpack<'_>, offsets: &[usize]) {
    assert_eq!(view.len(), offsets.len());
    let mut elements: Vec<Element<'_>> = view.iter().rev().collect();
    elements.reverse();
    assert!(view.iter().eq(elements.iter().copied()));
    for (at, element) in offsets.iter().zip(elements) {
        let text = text(element);
        assert!(view.matches(*at, &text));
        assert_eq!(view.find_from(*at, Needle::new(&text), 0), Some(*at));
    }
}

fn change(bytes: &[u8], offsets: &[usize], choice: usize) {
    let mut changed = bytes.to_vec();
    let mut model: Vec<Vec<u8>> = Listpack::new(bytes).iter().map(text).collect();
    listpack::prepend(&mut changed, bytes);
    model.insert(0, bytes.to_vec());
    if let Some(at) = offsets.get(choice) {
        let at = at + changed.len() - bytes.len();
        listpack::insert_after(&mut changed, at, choice as i64);
        model.insert(choice + 2, choice.to_string().into_bytes());
        listpack::replace(&mut changed, at, &bytes[..choice % bytes.len()]);
        model[choice + 1] = bytes[..choice % bytes.len()].to_vec();
    }
    check(&changed, &model);
    let deleted = listpack::delete_range(&mut changed, choice / 2, choice % 4);
    let end = model.len().min(choice / 2 + choice % 4);
    assert_eq!(model.drain((choice / 2).min(end)..end).count(), deleted);
    listpack::merge(&mut changed, Listpack::new(bytes));
    model.extend(Listpack::new(bytes).iter().map(text));
    check(&changed, &model);
}

fn check(bytes: &[u8], model: &[Vec<u8>]) {
    let view = Listpack::validate(bytes).expect("a listpack");
    assert!(view.iter().map(text).eq(model.iter().cloned()));
}
