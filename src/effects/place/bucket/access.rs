//! Who asks a service, and how long it is waited for.

use crate::model::bucket::{Access, is_plain_http};
use crate::model::{Failure, Result};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What of the environment is used, by the names that Amazon's own tools give them (AWS SDKs
/// and Tools Reference Guide, "Environment variables").
const NAMES: [&str; 13] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_METADATA_ENDPOINT",
];
/// Where a service is that nobody says otherwise of.
const REGION: &str = "us-east-1";

/// Who asks: variables of the environment, kept from being shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials(BTreeMap<&'static str, String>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} set)", self.0.len())
    }
}

impl Credentials {
    /// Those that an environment has.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        Self(NAMES.iter().filter_map(|name| Some((*name, get(name)?))).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// What asks the service for objects.
pub(super) fn client(access: &Access, credentials: &Credentials) -> Result<AmazonS3> {
    let endpoint = access.endpoint.as_deref().or_else(|| credentials.get("AWS_ENDPOINT_URL"));
    let region = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(|name| credentials.get(name));
    let plain = endpoint.map(is_plain_http).transpose()?.unwrap_or(false);
    let options = ClientOptions::new()
        .with_allow_http(plain)
        .with_connect_timeout(Duration::from_secs(10))
        .with_read_timeout(Duration::from_mins(1))
        // A large object takes as long as it takes; silence is what ends it.
        .with_timeout_disabled();
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&access.bucket)
        .with_region(access.region.as_deref().or(region).unwrap_or(REGION))
        .with_virtual_hosted_style_request(access.virtual_hosted_style)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_checksum_algorithm(Checksum::SHA256)
        // Not every service knows the request that deletes many at once.
        .with_disable_bulk_delete(true)
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(200),
                max_backoff: Duration::from_secs(15),
                base: 2.0,
            },
            max_retries: 6,
            retry_timeout: Duration::from_mins(2),
        })
        .with_client_options(options);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(address(access, endpoint));
    }
    for (name, key) in [
        ("AWS_ACCESS_KEY_ID", AmazonS3ConfigKey::AccessKeyId),
        ("AWS_SECRET_ACCESS_KEY", AmazonS3ConfigKey::SecretAccessKey),
        ("AWS_SESSION_TOKEN", AmazonS3ConfigKey::Token),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
        ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
        ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
        ("AWS_METADATA_ENDPOINT", AmazonS3ConfigKey::MetadataEndpoint),
    ] {
        if let Some(value) = credentials.get(name) {
            builder = builder.with_config(key, value);
        }
    }
    builder.build().map_err(|e| {
        Failure::host(format!("s3://{}: {}", access.bucket, crate::effects::fetch::chain(&e)))
            .hint("Set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (docs/stores.md).")
    })
}

/// With virtual hosted style the client wants the bucket in the host name already.
fn address(access: &Access, endpoint: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    match endpoint.split_once("://").filter(|_| access.virtual_hosted_style) {
        Some((scheme, host)) => format!("{scheme}://{}.{host}", access.bucket),
        None => endpoint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_shown_and_half_of_them_are_refused() {
        let of = |names: &'static [&'static str]| {
            Credentials::read(move |name| names.contains(&name).then(|| "s3cret".to_owned()))
        };
        let both = of(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
        let access = Access::parse("s3://images").unwrap();
        assert!(client(&access, &both).is_ok());
        assert!(!format!("{both:?}").contains("s3cret"));
        for half in [of(&["AWS_ACCESS_KEY_ID"]), of(&["AWS_SECRET_ACCESS_KEY"])] {
            let failure = client(&access, &half).unwrap_err();
            assert!(!failure.to_string().contains("s3cret"), "{failure}");
        }
    }

    #[test]
    fn the_bucket_goes_into_the_host_name_where_that_is_wanted() {
        let access = Access { virtual_hosted_style: true, ..Access::parse("s3://images").unwrap() };
        assert_eq!(address(&access, "https://s3.example.org/"), "https://images.s3.example.org");
        let access = Access::parse("s3://images").unwrap();
        assert_eq!(address(&access, "https://s3.example.org/"), "https://s3.example.org");
    }
}
