//! Who makes a request: found in one layer, for gRPC and plain HTTP alike, before anything is read from the body.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use engine::domain::TenantId;

use super::methods::Method;

/// Who makes a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whose data the caller sees and changes. An installation has one tenant.
    pub tenant: TenantId,
}

impl Caller {
    /// The caller of a request that [`identify`] has let through.
    pub fn of(extensions: &axum::http::Extensions) -> Option<&Caller> {
        extensions.get::<Caller>()
    }
}

/// Puts the caller, and the method if the request is a call of one, into the request's extensions.
pub async fn identify(mut request: Request, next: Next) -> Response {
    let method = Method::of_path(request.uri().path());
    request.extensions_mut().insert(Caller { tenant: TenantId::single() });
    if let Some(method) = method {
        request.extensions_mut().insert(method);
    }
    next.run(request).await
}

/// The method of a request that [`identify`] has let through.
pub fn method_of(request: &Request) -> Option<&'static Method> {
    request.extensions().get::<&'static Method>().copied()
}
