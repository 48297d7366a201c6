use super::*;
use crate::build::stack::StackedLayer;
use crate::model::recipe::LayerId;

const A: &str = "usr/lib/modules/6.1/kernel/a.ko";
const B: &str = "usr/lib/modules/6.1/kernel/net/b.ko";

fn stack(root: &Path, layers: &[&[(&str, &str)]]) -> Stack {
    let layer = |(i, files): (usize, &&[(&str, &str)])| {
        let folder = root.join(format!("layer{i}"));
        std::fs::create_dir_all(&folder).unwrap();
        for (path, content) in *files {
            std::fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
            std::fs::write(folder.join(path), content).unwrap();
        }
        let id = LayerId(Digest::of(i.to_string()));
        StackedLayer { name: i.to_string(), id, epoch: 86_400, folder, cached: false, size: 0 }
    };
    Stack { layers: layers.iter().enumerate().map(layer).collect(), epoch: 0, cache: root.join("cache") }
}

fn quiet() -> (&'static Emitter, &'static Cancel) {
    static QUIET: std::sync::LazyLock<(Emitter, Cancel)> = std::sync::LazyLock::new(Default::default);
    (&QUIET.0, &QUIET.1)
}

struct Made {
    path: PathBuf,
    bytes: Vec<u8>,
}

fn make(root: &Path, stack: &Stack, list: &str) -> Result<Made> {
    let cache = Cache::open(&root.join("cache")).unwrap();
    let scratch = tempfile::tempdir_in(root).unwrap();
    let file = scratch.path().join("list");
    std::fs::write(&file, list).unwrap();
    let (path, _) = archive(stack, &file, &cache, scratch.path(), quiet())?;
    let bytes = std::fs::read(&path).unwrap();
    Ok(Made { path, bytes })
}

#[test]
fn the_archive_has_parents_and_modules_of_the_merged_tree() {
    let dir = tempfile::tempdir().unwrap();
    let stack = stack(dir.path(), &[&[(A, "old"), (B, "bbb")], &[(A, "new")]]);
    let made = make(dir.path(), &stack, &format!("/{B}\n/{A}\n/{B}\n")).unwrap();
    let plain = zstd::decode_all(&made.bytes[..]).unwrap();
    let text = String::from_utf8_lossy(&plain);
    let at = |name: &str| text.find(&format!("{name}\0")).unwrap_or_else(|| panic!("{name} is missing"));
    let order = ["usr", "usr/lib", FOLDER, "usr/lib/modules/6.1/kernel", A, B, "TRAILER!!!"];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{text}");
    assert!(text.contains("new") && text.contains("bbb") && !text.contains("old"));
    assert_eq!(text.matches("b.ko").count(), 1, "named twice, stored once");
}

#[test]
fn the_archive_depends_on_the_modules_alone() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = stack(one.path(), &[&[(A, "a"), (B, "b"), ("etc/x", "1")]]);
    let second = stack(two.path(), &[&[(A, "a")], &[(B, "b"), ("etc/x", "2")]]);
    let first = make(one.path(), &first, &format!("/{A}\n/{B}\n")).unwrap();
    let second = make(two.path(), &second, &format!("/{B}\n/{A}\n")).unwrap();
    assert_eq!(first.bytes, second.bytes);
    assert_eq!(first.path.file_name(), second.path.file_name());
}

#[test]
fn other_content_or_another_list_is_another_archive() {
    let dir = tempfile::tempdir().unwrap();
    let both = format!("/{A}\n/{B}\n");
    let mut names = BTreeSet::new();
    for (content, list) in [("a", both.as_str()), ("c", both.as_str()), ("a", &both[..=A.len() + 1])] {
        let stack = stack(dir.path(), &[&[(A, content), (B, "b")]]);
        names.insert(make(dir.path(), &stack, list).unwrap().path);
    }
    assert_eq!(names.len(), 3);
}

#[test]
fn an_archive_that_was_cut_short_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let stack = stack(dir.path(), &[&[(A, "a")]]);
    let made = make(dir.path(), &stack, &format!("/{A}\n")).unwrap();
    std::fs::write(&made.path, &made.bytes[..9]).unwrap();
    assert_eq!(make(dir.path(), &stack, &format!("/{A}\n")).unwrap().bytes, made.bytes);
}

#[test]
fn paths_that_are_no_modules_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let stack = stack(dir.path(), &[&[(A, "a"), ("etc/shadow", "s"), ("usr/lib/modules/x.ko/y", "s")]]);
    for line in [
        "/etc/shadow",
        "/usr/lib/modules/../../../etc/shadow.ko",
        "/usr/lib/modules/6.1/../6.1/kernel/a.ko",
        "/usr/lib/modules/6.1//kernel/a.ko",
        "/usr/lib/modules/6.1/./kernel/a.ko",
        "//usr/lib/modules/6.1/kernel/a.ko",
        "usr/lib/modules/6.1/kernel/a.ko",
        "/lib/modules/6.1/kernel/a.ko",
        "/usr/lib/modules-evil/a.ko",
        "/usr/lib/modules/6.1/modules.dep",
        "/usr/lib/modules/x.ko",
        "/usr/lib/modules/6.1/kernel/missing.ko",
        "",
    ] {
        let failure = make(dir.path(), &stack, &format!("/{A}\n{line}\n")).map(|made| made.path).unwrap_err();
        assert_eq!(failure.class, crate::model::FailureClass::Spec, "{line}: {failure}");
        assert!(failure.message.contains(&format!("{line:?}")), "{line}: {failure}");
    }
}

#[test]
fn a_module_that_is_a_link_out_of_the_image_stays_in_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let stack = stack(dir.path(), &[&[(B, "b")]]);
    let host = dir.path().join("host.ko");
    std::fs::write(&host, "of the host").unwrap();
    std::os::unix::fs::symlink(&host, stack.layers[0].folder.join(A)).unwrap();
    assert!(make(dir.path(), &stack, &format!("/{A}\n")).is_err());
}

#[test]
fn no_modules_make_an_empty_archive_but_no_list_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let stack = stack(dir.path(), &[&[]]);
    let made = make(dir.path(), &stack, "").unwrap();
    let plain = zstd::decode_all(&made.bytes[..]).unwrap();
    assert!(String::from_utf8_lossy(&plain).contains("TRAILER!!!"));
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    let failure = archive(&stack, &dir.path().join("none"), &cache, dir.path(), quiet()).unwrap_err();
    assert!(failure.message.contains("no list"), "{failure}");
}

#[test]
fn unknown_hook_functions_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(functions(&stack(dir.path(), &[&[]])).unwrap(), None);
    assert_eq!(functions(&stack(dir.path(), &[&[(FUNCTIONS, "# something else\n")]])).unwrap(), None);
    let known = "copy_file() {\n}\nmanual_add_modules()\n{\n}\n";
    let text = functions(&stack(dir.path(), &[&[(FUNCTIONS, known)]])).unwrap().unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with(known) && text.ends_with(REPLACED));
    assert_eq!(text.matches("\nmanual_add_modules()").count(), 2, "ours comes last and counts");
}
