//! The SDK's errors, classified for every service.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// The longest detail, in characters.
const DETAIL_MAX: usize = 300;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub class: FailureClass,
    /// The service's error code without its namespace; `None` where no service answered.
    pub code: Option<String>,
    /// For people: code and message, or what broke. Bounded, one line, no credentials.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    AccessDenied,
    /// None could be had, or the service refused them.
    Credentials,
    Throttled,
    Network,
    Timeout,
    Server,
    /// Anything else, such as an error code that only its service has.
    Other,
}

impl Failure {
    /// Classifies a failed call.
    pub fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        use FailureClass as Class;
        let mut code = None;
        let (class, detail) = match error {
            SdkError::ServiceError(context) => {
                let status = context.raw().status().as_u16();
                code = context.err().code().map(without_namespace).map(str::to_owned);
                match &code {
                    Some(code) => (class_of(code, status), describe(code, context.err().message())),
                    None => (by_status(status), format!("status {status} without an error code")),
                }
            }
            SdkError::ResponseError(context) => {
                let status = context.raw().status().as_u16();
                (by_status(status), format!("status {status} with an answer that cannot be read: {}", chain(error)))
            }
            SdkError::TimeoutError(_) => (Class::Timeout, "no answer in time".to_owned()),
            _ if comes_from_credentials(error) => (Class::Credentials, chain(error)),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => (Class::Timeout, chain(error)),
            SdkError::DispatchFailure(failure) if failure.is_io() || is_broken_connection(error) => {
                (Class::Network, chain(error))
            }
            _ => (Class::Other, chain(error)),
        };
        Self { class, code, detail: bounded(&detail) }
    }
}

/// What an error code means in every service: the signature's and the gateway's codes. A code may come with its
/// namespace (`com.amazonaws.sqs#…`).
pub fn class_of(code: &str, status: u16) -> FailureClass {
    use FailureClass as Class;
    match without_namespace(code) {
        "AccessDenied" | "AccessDeniedException" | "AuthorizationError" | "UnauthorizedOperation" => {
            Class::AccessDenied
        }
        "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "InvalidSecurity"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "SignatureDoesNotMatch"
        | "TokenRefreshRequired"
        | "UnrecognizedClientException" => Class::Credentials,
        "LimitExceededException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown"
        | "ThrottledException"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequestsException" => Class::Throttled,
        "RequestTimeout" | "RequestTimeoutException" => Class::Timeout,
        "InternalError"
        | "InternalFailure"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => Class::Server,
        _ if status >= 500 => Class::Server,
        _ => Class::Other,
    }
}

/// `com.amazonaws.sqs#QueueDoesNotExist` → `QueueDoesNotExist`.
pub fn without_namespace(code: &str) -> &str {
    code.rsplit('#').next().unwrap_or(code)
}

fn by_status(status: u16) -> FailureClass {
    match status {
        401 => FailureClass::Credentials,
        403 => FailureClass::AccessDenied,
        408 => FailureClass::Timeout,
        429 => FailureClass::Throttled,
        500.. => FailureClass::Server,
        _ => FailureClass::Other,
    }
}

fn describe(code: &str, message: Option<&str>) -> String {
    match message {
        // These repeat the signed request, the session token among it.
        Some(message) if message.contains("Canonical String") || message.contains("String-to-Sign") => code.to_owned(),
        _ if code.contains("Signature") => code.to_owned(),
        Some(message) => format!("{code}: {message}"),
        None => code.to_owned(),
    }
}

fn comes_from_credentials(error: &(dyn Error + 'static)) -> bool {
    // The time-out of the identity cache has no public type.
    causes(error).any(|cause| cause.is::<CredentialsError>() || cause.to_string().contains("identity resolver"))
}

/// A connection that was cut while the answer came: the SDK calls some of these "other".
fn is_broken_connection(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        cause.is::<std::io::Error>() || {
            let text = cause.to_string();
            text.contains("connection closed") || text.contains("connection error")
        }
    })
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = vec![];
    for cause in causes(error) {
        let text = cause.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

/// What an error says, with its causes; bounded.
pub(super) fn told(error: &(dyn Error + 'static)) -> String {
    bounded(&chain(error))
}

fn bounded(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(DETAIL_MAX).collect()
}
