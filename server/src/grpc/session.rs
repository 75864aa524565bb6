//! SessionService.

use std::sync::Arc;

use proto::v1;
use proto::v1::session_service_server::SessionService;
use tonic::{Request, Response, Status};

use super::convert::fields::single_id;
use super::convert::session as convert;
use super::tenant::open;
use crate::domain::Limits;
use crate::service::session_end::SessionEnd;
use crate::service::sessions::Sessions;

/// The handlers of SessionService.
#[derive(Debug, Clone)]
pub struct SessionApi {
    pub sessions: Sessions,
    pub session_end: SessionEnd,
    pub limits: Arc<Limits>,
}

#[tonic::async_trait]
impl SessionService for SessionApi {
    async fn create_session(
        &self,
        request: Request<v1::CreateSessionRequest>,
    ) -> Result<Response<v1::CreateSessionResponse>, Status> {
        let (tenant, request) = open(request);
        let new = convert::create_session(request, &self.limits)?;
        let session = self.sessions.create(&tenant, new).await?;
        Ok(Response::new(v1::CreateSessionResponse { session: Some(session.into()) }))
    }

    async fn get_session(
        &self,
        request: Request<v1::GetSessionRequest>,
    ) -> Result<Response<v1::GetSessionResponse>, Status> {
        let (tenant, request) = open(request);
        let id = single_id("session_id", &request.session_id)?;
        let session = self.sessions.get(&tenant, id).await?;
        Ok(Response::new(v1::GetSessionResponse { session: Some(session.into()) }))
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let (tenant, request) = open(request);
        let (statuses, page) = convert::list_sessions(request, &self.limits)?;
        let page = self.sessions.list(&tenant, statuses, page).await?;
        Ok(Response::new(v1::ListSessionsResponse {
            sessions: page.items.into_iter().map(v1::Session::from).collect(),
            next_page_token: page.next_token,
        }))
    }

    async fn update_session(
        &self,
        request: Request<v1::UpdateSessionRequest>,
    ) -> Result<Response<v1::UpdateSessionResponse>, Status> {
        let (tenant, request) = open(request);
        let (id, patch) = convert::update_session(request, &self.limits)?;
        let session = self.sessions.update(&tenant, id, patch).await?;
        Ok(Response::new(v1::UpdateSessionResponse { session: Some(session.into()) }))
    }

    async fn close_session(
        &self,
        request: Request<v1::CloseSessionRequest>,
    ) -> Result<Response<v1::CloseSessionResponse>, Status> {
        let (tenant, request) = open(request);
        let id = single_id("session_id", &request.session_id)?;
        let session = self.session_end.close(tenant, id).await?;
        Ok(Response::new(v1::CloseSessionResponse { session: Some(session.into()) }))
    }

    async fn cancel_session(
        &self,
        request: Request<v1::CancelSessionRequest>,
    ) -> Result<Response<v1::CancelSessionResponse>, Status> {
        let (tenant, request) = open(request);
        let (id, reason, grace) = convert::cancel_session(request, &self.limits)?;
        let session = self.session_end.cancel(tenant, id, reason, grace).await?;
        Ok(Response::new(v1::CancelSessionResponse { session: Some(session.into()) }))
    }
}
