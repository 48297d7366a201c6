use super::*;

fn parse(body: &str) -> Result<BuildRequest, Vec<Fault>> {
    BuildRequest::parse(Some(body.as_bytes()), &SysupgradeSettings::default())
}

/// A request with one more field.
fn with(field: &str, value: Value) -> Result<BuildRequest, Vec<Fault>> {
    let mut body = json!({"version": "24.10.5", "target": "x86/64", "profile": "generic"});
    body[field] = value;
    parse(&body.to_string())
}

fn faults(field: &str, value: Value) -> Vec<(&'static str, Vec<Value>, String)> {
    let faults = with(field, value.clone()).expect_err(&format!("{field}: {value}"));
    faults.into_iter().map(|fault| (fault.kind, fault.loc, fault.msg)).collect()
}

#[test]
fn what_is_left_out_has_its_default() {
    let request = parse(r#"{"version": "1.2.3", "target": "t/s", "profile": "p,q", "unknown": {}}"#).unwrap();
    let expected = json!({"distro": "openwrt", "version": "1.2.3", "version_code": "", "target": "t/s",
        "profile": "p_q", "packages": [], "packages_versions": {}, "diff_packages": false,
        "defaults": null, "rootfs_size_mb": null, "filesystem": null, "repositories": {},
        "repositories_mode": "replace", "repository_keys": [], "client": null});
    assert_eq!(serde_json::to_value(&request).unwrap(), expected);
    assert_eq!(serde_json::from_value::<BuildRequest>(expected).unwrap(), request);
}

#[test]
fn what_is_missing_is_said_as_fastapi_says_it() {
    let fault = |body: Option<&[u8]>| {
        serde_json::to_value(BuildRequest::parse(body, &SysupgradeSettings::default()).unwrap_err()).unwrap()
    };
    let nothing = json!([{"input": null, "loc": ["body"], "msg": "Field required", "type": "missing"}]);
    assert_eq!(fault(None), nothing);
    assert_eq!(fault(Some(b"")), nothing);
    let body = json!({"profile": "testprofile", "target": "testtarget/testsubtarget"});
    assert_eq!(
        fault(Some(body.to_string().as_bytes())),
        json!([{"input": body, "loc": ["body", "version"], "msg": "Field required", "type": "missing"}])
    );
    assert_eq!(fault(Some(b"[]"))[0]["type"], "model_attributes_type");
    for bad in ["{", "nonsense", "{\"version\": }", "\u{0}", "{\"a\": 1}x"] {
        assert_eq!(fault(Some(bad.as_bytes()))[0]["type"], "json_invalid", "{bad}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(fault(Some(deep.as_bytes()))[0]["type"], "json_invalid");
    assert_eq!(fault(Some(&[0xff, 0xfe]))[0]["type"], "json_invalid");
}

#[test]
fn forms_that_no_field_has_are_refused() {
    for (field, value, kind) in [
        ("packages", json!("testpackage"), "list_type"),
        ("packages", json!({}), "list_type"),
        ("packages", json!(["a", 1]), "string_type"),
        ("packages", json!(["$(id)"]), "string_pattern_mismatch"),
        ("packages", json!(["a b"]), "string_pattern_mismatch"),
        ("packages", json!(["a\n"]), "string_pattern_mismatch"),
        ("packages", json!(["a;id"]), "string_pattern_mismatch"),
        ("packages", json!(null), "list_type"),
        ("packages_versions", json!([]), "dict_type"),
        ("packages_versions", json!({"a": 1}), "string_type"),
        ("packages_versions", json!({"a": "1 2"}), "string_pattern_mismatch"),
        ("packages_versions", json!({"a'": "1"}), "string_pattern_mismatch"),
        ("version", json!("24.10.5/../x"), "string_pattern_mismatch"),
        ("version", json!(24), "string_type"),
        ("version_code", json!("$(id)"), "string_pattern_mismatch"),
        ("target", json!("x86"), "string_pattern_mismatch"),
        ("target", json!("x86/../64"), "string_pattern_mismatch"),
        ("target", json!("x86/64\n"), "string_pattern_mismatch"),
        ("profile", json!("a b"), "string_pattern_mismatch"),
        ("distro", json!("a/b"), "string_pattern_mismatch"),
        ("diff_packages", json!("maybe"), "bool_parsing"),
        ("diff_packages", json!(2), "bool_parsing"),
        ("diff_packages", json!([]), "bool_type"),
        ("defaults", json!(1), "string_type"),
        ("defaults", json!("#".repeat(20_481)), "string_too_long"),
        ("rootfs_size_mb", json!(0), "greater_than_equal"),
        ("rootfs_size_mb", json!(-5), "greater_than_equal"),
        ("rootfs_size_mb", json!(1025), "less_than_equal"),
        ("rootfs_size_mb", json!(u64::MAX), "less_than_equal"),
        ("rootfs_size_mb", json!(1e300), "less_than_equal"),
        ("rootfs_size_mb", json!(1.5), "int_from_float"),
        ("rootfs_size_mb", json!("many"), "int_parsing"),
        ("rootfs_size_mb", json!(true), "int_type"),
        ("filesystem", json!("bogusfs"), "literal_error"),
        ("filesystem", json!(""), "literal_error"),
        ("repositories", json!({"a b": "https://h/"}), "string_pattern_mismatch"),
        ("repositories", json!({"": "https://h/"}), "string_pattern_mismatch"),
        ("repositories", json!({"a\nsrc/gz x": "https://h/"}), "string_pattern_mismatch"),
        ("repositories", json!({"a": "ftp://h/"}), "string_pattern_mismatch"),
        ("repositories", json!({"a": "https://h/ x"}), "string_pattern_mismatch"),
        ("repositories", json!({"a": "https://"}), "string_pattern_mismatch"),
        ("repositories_mode", json!("invalid"), "literal_error"),
        ("repositories_mode", json!(null), "literal_error"),
        ("repository_keys", json!("k"), "list_type"),
        ("client", json!({}), "string_type"),
    ] {
        assert_eq!(faults(field, value.clone())[0].0, kind, "{field}: {value}");
    }
}

#[test]
fn complaints_name_place_and_limit() {
    assert_eq!(
        faults("packages", json!(["a", "b c", 5])),
        [
            (
                "string_pattern_mismatch",
                vec![json!("body"), json!("packages"), json!(1)],
                r"String should match pattern '^[\w.,-]*$'".to_owned()
            ),
            (
                "string_type",
                vec![json!("body"), json!("packages"), json!(2)],
                "Input should be a valid string".to_owned()
            )
        ]
    );
    assert_eq!(faults("rootfs_size_mb", json!(0))[0].2, "Input should be greater than or equal to 1");
    assert_eq!(faults("rootfs_size_mb", json!(1025))[0].2, "Input should be less than or equal to 1024");
    assert_eq!(faults("repositories_mode", json!("x"))[0].2, "Input should be 'append' or 'replace'");
    let long = faults("defaults", json!("#".repeat(20_481)));
    assert_eq!(long[0].2, "String should have at most 20480 characters");
    let key = faults("packages_versions", json!({"a b": "1"}));
    assert_eq!(key[0].1, [json!("body"), json!("packages_versions"), json!("a b"), json!("[key]")]);
    let many: Vec<Value> = (0..5000).map(|n| json!(n)).collect();
    assert_eq!(faults("packages", json!(many)).len(), MOST_FAULTS);
}

#[test]
fn what_pydantic_converts_is_converted() {
    for (value, truth) in
        [(json!("on"), true), (json!(1), true), (json!(0.0), false), (json!("False"), false)]
    {
        assert_eq!(with("diff_packages", value.clone()).unwrap().diff_packages, truth, "{value}");
    }
    for value in [json!(5), json!("5"), json!(5.0), json!(" 5 ")] {
        assert_eq!(with("rootfs_size_mb", value.clone()).unwrap().rootfs_size_mb, Some(5), "{value}");
    }
    assert_eq!(with("defaults", json!("#".repeat(20_480))).unwrap().defaults.unwrap().len(), 20_480);
    assert_eq!(with("filesystem", json!("jffs2-nand")).unwrap().filesystem.as_deref(), Some("jffs2-nand"));
}

#[test]
fn repositories_keep_their_order() {
    let request = parse(
        r#"{"version": "1", "target": "a/b", "profile": "p",
            "repositories": {"zz": "https://h/1", "aa": "https://h/2", "zz": "https://h/3"}}"#,
    );
    let pair = |name: &str, url: &str| (name.to_owned(), url.to_owned());
    let expected = vec![pair("zz", "https://h/3"), pair("aa", "https://h/2")];
    assert_eq!(request.unwrap().repositories, Pairs(expected));
}

#[test]
fn versions_count_before_names() {
    let both = json!({"version": "1", "target": "a/b", "profile": "p", "packages": ["x"],
        "packages_versions": {"tmux": "3.4-r1", "-ppp": "1"}});
    let request = parse(&both.to_string()).unwrap();
    assert_eq!(request.packages().collect::<Vec<_>>(), ["-ppp", "tmux"]);
}
