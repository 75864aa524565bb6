//! The caller of a request, and its method. One layer finds both, for gRPC and plain HTTP alike, before the body is read.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use engine::db::Class;
use engine::domain::TenantId;

use super::methods::Method;

/// The caller of a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whose data the caller sees and changes. An installation has one tenant.
    pub tenant: TenantId,
    /// The class of the method that is called: the limit of the call, and the class of its work in the database.
    pub class: Class,
}

impl Caller {
    /// The caller of a request that has passed [`identify`].
    pub fn of(extensions: &axum::http::Extensions) -> Option<&Caller> {
        extensions.get::<Caller>()
    }
}

/// Puts the caller into the request's extensions and, if the request is a call, its method.
pub async fn identify(mut request: Request, next: Next) -> Response {
    let method = Method::of_path(request.uri().path());
    let class = method.map_or(Class::Normal, |method| method.class);
    request.extensions_mut().insert(Caller { tenant: TenantId::single(), class });
    if let Some(method) = method {
        request.extensions_mut().insert(method);
    }
    next.run(request).await
}

/// The method of a call that has passed [`identify`].
pub fn method_of(request: &Request) -> Option<&'static Method> {
    request.extensions().get::<&'static Method>().copied()
}
