use super::*;

#[test]
fn who_finds_a_stripe_taken_is_counted() {
    let stripes = SharedStripes::new(Layout::new(16, 1));
    let held = stripes.lock(3, Patience::Spin).expect("nobody has it");
    assert_eq!(stripes.lock(3, Patience::Spin).err(), Some(Busy));
    assert_eq!(stripes.lock_many(&[2, 3], Patience::Spin).err(), Some(Busy));
    assert!(stripes.lock(4, Patience::Spin).is_ok());
    drop(held);
    assert!(stripes.lock(3, Patience::Spin).is_ok());
    assert_eq!(stripes.waits(), 2);
}
