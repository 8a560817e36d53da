//! Vectors whose capacity follows their length in small steps.
//!
//! Capacities are such that the bytes are a multiple of 64, and above 512 of an eighth of the next
//! power of two: the sizes that allocators have classes for. Memory is given back when it would do
//! for a quarter more elements and another step, so that no sequence of changes allocates each
//! time.

const STEP_BYTES: usize = 64;

/// The capacity for `len` elements.
fn capacity_for<E>(len: usize) -> usize {
    let bytes = len * size_of::<E>();
    let step = (bytes.next_power_of_two() / 8).max(STEP_BYTES);
    bytes.next_multiple_of(step) / size_of::<E>()
}

fn reserve<E>(elements: &mut Vec<E>, more: usize) {
    let len = elements.len() + more;
    if len > elements.capacity() {
        elements.reserve_exact(capacity_for::<E>(len) - elements.len());
    }
}

/// Gives back what is more than the length needs.
fn fit<E>(elements: &mut Vec<E>) {
    elements.shrink_to(capacity_for::<E>(elements.len()));
}

/// Gives back what is unused if it is much.
pub(super) fn trim<E>(elements: &mut Vec<E>) {
    let len = elements.len();
    if elements.capacity() > capacity_for::<E>(len + len / 4) {
        fit(elements);
    }
}

/// Bytes allocated.
pub(super) fn bytes<E>(elements: &Vec<E>) -> usize {
    elements.capacity() * size_of::<E>()
}

pub(super) fn insert<E>(elements: &mut Vec<E>, at: usize, element: E) {
    reserve(elements, 1);
    elements.insert(at, element);
}

pub(super) fn extend<E: Copy>(elements: &mut Vec<E>, more: &[E]) {
    reserve(elements, more.len());
    elements.extend_from_slice(more);
}

/// The elements in vectors of `most`; the last may have less.
pub(super) fn groups<E>(
    mut elements: impl Iterator<Item = E>,
    most: usize,
) -> impl Iterator<Item = Vec<E>> {
    std::iter::from_fn(move || {
        let mut group = Vec::with_capacity(most);
        group.extend(elements.by_ref().take(most));
        fit(&mut group);
        (!group.is_empty()).then_some(group)
    })
}

/// Cuts a vector in two.
pub(super) fn split_off<E>(elements: &mut Vec<E>, at: usize) -> Vec<E> {
    if at == 0 {
        return std::mem::take(elements);
    }
    let mut right = Vec::new();
    reserve(&mut right, elements.len() - at);
    right.extend(elements.drain(at..));
    fit(elements);
    right
}

pub(super) fn append<E>(elements: &mut Vec<E>, mut right: Vec<E>) {
    reserve(elements, right.len());
    elements.append(&mut right);
}

/// Moves elements between neighbours so that both have as many.
pub(super) fn level<E>(left: &mut Vec<E>, right: &mut Vec<E>) {
    let half = usize::midpoint(left.len(), right.len());
    if let Some(more) = left.len().checked_sub(half) {
        reserve(right, more);
        right.splice(0..0, left.drain(half..));
        fit(left);
    } else {
        let more = half - left.len();
        reserve(left, more);
        left.extend(right.drain(..more));
        fit(right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_waste_little_and_meet_size_classes() {
        for len in 1..=128 {
            let bytes = capacity_for::<[u32; 3]>(len) * 12;
            assert!(bytes >= len * 12);
            assert!(bytes < len * 12 + (len * 3).max(64), "{len}: {bytes}");
        }
        assert_eq!(capacity_for::<u64>(0), 0);
        assert_eq!(capacity_for::<[u32; 3]>(128), 128);
    }

    #[test]
    fn levelling_keeps_the_order() {
        for (a, b) in [(0, 9), (9, 0), (3, 8), (8, 3), (4, 4), (1, 2)] {
            let (mut left, mut right) = ((0..a).collect::<Vec<_>>(), (a..a + b).collect());
            level(&mut left, &mut right);
            assert!(left.len().abs_diff(right.len()) <= 1);
            left.append(&mut right);
            assert!(left.iter().copied().eq(0..a + b));
        }
    }
}
