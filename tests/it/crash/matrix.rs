use super::world::World;

#[test]
fn smoke() {
    let started = std::time::Instant::now();
    let world = World::new("[rootfs, oci]");
    println!("made {:?}", started.elapsed());
    let (said, points) = world.traced(|_| {});
    println!("ran {:?} {}", started.elapsed(), said.words());
    println!("{points:?}");
    println!("{:#?}", said.tasks());
    let again = world.reconcile();
    println!("again {:?} {}", started.elapsed(), again.words());
    let iso = World::new("[iso]");
    let (said, points) = iso.traced(|c| { c.env("BOOTWRIGHT_STOP_AT", "run.verifying"); });
    println!("iso {:?} {} {points:?}", started.elapsed(), said.words());
}
