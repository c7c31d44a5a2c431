//! Signs requests to services that are called without an SDK of theirs. Credentials come from where those of all other calls come
//! from, and are kept until shortly before they expire.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::{Access, AwsConfig, Failure, FailureClass, REFRESH_BEFORE};

/// Credentials without an end are asked for again this often: a profile's file may have changed.
const KEPT: Duration = Duration::from_mins(15);

/// Signs for one service in one Region.
pub struct Signer {
    service: &'static str,
    region: String,
    aws: SdkConfig,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    credentials: Credentials,
    until: SystemTime,
}

/// What is signed. The address is whole and percent-encoded; headers are those that the signature must cover.
#[derive(Debug, Clone, Copy)]
pub struct Unsigned<'a> {
    pub method: &'a str,
    pub url: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

impl Signer {
    /// Reads the environment and the shared configuration files; credentials are fetched with the first request.
    pub async fn new(service: &'static str, region: &str, config: &AwsConfig, access: &Access) -> Self {
        let aws = config.load(access).await;
        Self { service, region: region.to_owned(), aws, kept: Mutex::new(None) }
    }

    /// The headers to add: name and value. All of them are as good as secrets for some minutes.
    ///
    /// # Errors
    /// No credentials could be had, or the request cannot be signed.
    pub async fn headers(&self, request: Unsigned<'_>, now: Timestamp) -> Result<Vec<(&'static str, String)>, Failure> {
        let now = system_time(now);
        let identity = self.credentials(now).await?.into();
        let unfit = |error: &dyn std::error::Error| other(&format!("the request cannot be signed: {error}"));
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service)
            .time(now)
            .settings(settings(self.service))
            .build()
            .map_err(|error| unfit(&error))?
            .into();
        let body = SignableBody::Bytes(request.body);
        let headers = request.headers.iter().copied();
        let signable =
            SignableRequest::new(request.method, request.url, headers, body).map_err(|error| unfit(&error))?;
        let (instructions, _) = sign(signable, &params).map_err(|error| unfit(&error))?.into_parts();
        let (headers, _) = instructions.into_parts();
        Ok(headers.into_iter().map(|header| (header.name(), header.value().to_owned())).collect())
    }

    /// The service refused the credentials: the next request gets others.
    pub async fn forget(&self) {
        *self.kept.lock().await = None;
    }

    async fn credentials(&self, now: SystemTime) -> Result<Credentials, Failure> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| now < kept.until) {
            return Ok(kept.credentials.clone());
        }
        let failed = |detail: String| Failure { class: FailureClass::Credentials, code: None, detail };
        let provider =
            self.aws.credentials_provider().ok_or_else(|| failed("no credentials are configured".to_owned()))?;
        let found = provider.provide_credentials().await.map_err(|error| failed(super::failure::told(&error)))?;
        let ends = found.expiry().and_then(|end| end.checked_sub(REFRESH_BEFORE));
        let until = ends.map_or(now + KEPT, |end| end.min(now + KEPT));
        *kept = Some(Kept { credentials: found.clone(), until });
        Ok(found)
    }
}

/// No clock shows a time that this cannot say.
fn system_time(at: Timestamp) -> SystemTime {
    SystemTime::try_from(at).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// S3 takes paths as they are, and wants to be told the body's digest.
fn settings(service: &str) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    settings
}

fn other(detail: &str) -> Failure {
    Failure { class: FailureClass::Other, code: None, detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

    use super::*;

    /// Gives out other credentials each time, good for ten minutes.
    #[derive(Debug, Default)]
    struct Changing(Arc<AtomicUsize>);

    impl ProvideCredentials for Changing {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.0.fetch_add(1, Ordering::SeqCst);
            let end = system_time(now()) + Duration::from_mins(10) * u32::try_from(number + 1).unwrap();
            let id = format!("id-{number}");
            future::ProvideCredentials::ready(Ok(Credentials::new(
                id,
                "unchecked",
                Some("session".into()),
                Some(end),
                "test",
            )))
        }
    }

    fn now() -> Timestamp {
        "2026-11-23T09:14:45Z".parse().unwrap()
    }

    async fn signer(service: &'static str) -> Signer {
        let config = AwsConfig { region: Some("eu-central-1".to_owned()), ..AwsConfig::default() };
        let access = Access::with_credentials(SharedCredentialsProvider::new(Changing::default()));
        Signer::new(service, "eu-central-1", &config, &access).await
    }

    const REQUEST: Unsigned<'_> = Unsigned {
        method: "POST",
        url: "https://securityhub.eu-central-1.amazonaws.com/findings/import",
        headers: &[("content-type", "application/json")],
        body: b"{}",
    };

    fn scope(headers: &[(&'static str, String)]) -> String {
        let all = headers.iter().find(|(name, _)| *name == "authorization").unwrap().1.clone();
        all.split("Credential=").nth(1).unwrap().split(',').next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_request_is_signed_for_its_service_region_and_day() {
        let hub = signer("securityhub").await;
        let headers = hub.headers(REQUEST, now()).await.unwrap();
        assert_eq!(scope(&headers), "id-0/20261123/eu-central-1/securityhub/aws4_request");
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        assert!(names.contains(&"x-amz-date") && names.contains(&"x-amz-security-token"), "{names:?}");
        assert!(!names.contains(&"x-amz-content-sha256"));
        let s3 = signer("s3").await.headers(REQUEST, now()).await.unwrap();
        assert!(s3.iter().any(|(name, _)| *name == "x-amz-content-sha256"));
    }

    #[tokio::test]
    async fn credentials_are_kept_until_shortly_before_they_end() {
        let signer = signer("s3").await;
        let at = |seconds: i64| now() + jiff::SignedDuration::from_secs(seconds);
        for (second, id) in [(0, "id-0"), (500, "id-0"), (545, "id-1"), (600, "id-1")] {
            let headers = signer.headers(REQUEST, at(second)).await.unwrap();
            assert!(scope(&headers).starts_with(&format!("{id}/")), "{second}: {}", scope(&headers));
        }
        signer.forget().await;
        assert!(scope(&signer.headers(REQUEST, at(600)).await.unwrap()).starts_with("id-2/"));
    }
}
