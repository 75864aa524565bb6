//! SessionService.

use std::sync::Arc;

use proto::v1;
use proto::v1::session_service_server::SessionService;
use tonic::{Request, Response, Status};

use crate::edge::convert::ToProto;
use crate::edge::convert::fields::single_id;
use crate::edge::respond::respond;
use crate::services::session::convert;
use crate::services::session::sessions::Sessions;
use engine::domain::Limits;

/// The handlers of SessionService.
#[derive(Debug, Clone)]
pub struct SessionApi {
    pub sessions: Sessions,
    pub limits: Arc<Limits>,
}

#[tonic::async_trait]
impl SessionService for SessionApi {
    async fn create_session(
        &self,
        request: Request<v1::CreateSessionRequest>,
    ) -> Result<Response<v1::CreateSessionResponse>, Status> {
        respond(request, async |caller, request| {
            let new = convert::create_session(request, &self.limits)?;
            let session = self.sessions.create(caller, new).await?;
            Ok(v1::CreateSessionResponse { session: Some(session.to_proto()) })
        })
        .await
    }

    async fn get_session(
        &self,
        request: Request<v1::GetSessionRequest>,
    ) -> Result<Response<v1::GetSessionResponse>, Status> {
        respond(request, async |caller, request| {
            let id = single_id("session_id", &request.session_id)?;
            let session = self.sessions.get(&caller, id).await?;
            Ok(v1::GetSessionResponse { session: Some(session.to_proto()) })
        })
        .await
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        respond(request, async |caller, request| {
            let (statuses, page) = convert::list_sessions(request, &self.limits)?;
            let page = self.sessions.list(caller, statuses, page).await?;
            Ok(v1::ListSessionsResponse {
                sessions: page.items.into_iter().map(ToProto::to_proto).collect(),
                next_page_token: page.next_token,
            })
        })
        .await
    }

    async fn update_session(
        &self,
        request: Request<v1::UpdateSessionRequest>,
    ) -> Result<Response<v1::UpdateSessionResponse>, Status> {
        respond(request, async |caller, request| {
            let (id, patch) = convert::update_session(request, &self.limits)?;
            let session = self.sessions.update(caller, id, patch).await?;
            Ok(v1::UpdateSessionResponse { session: Some(session.to_proto()) })
        })
        .await
    }

    async fn close_session(
        &self,
        request: Request<v1::CloseSessionRequest>,
    ) -> Result<Response<v1::CloseSessionResponse>, Status> {
        respond(request, async |caller, request| {
            let id = single_id("session_id", &request.session_id)?;
            let session = self.sessions.close(caller, id).await?;
            Ok(v1::CloseSessionResponse { session: Some(session.to_proto()) })
        })
        .await
    }

    async fn cancel_session(
        &self,
        request: Request<v1::CancelSessionRequest>,
    ) -> Result<Response<v1::CancelSessionResponse>, Status> {
        respond(request, async |caller, request| {
            let (id, reason, grace) = convert::cancel_session(request, &self.limits)?;
            let session = self.sessions.cancel(caller, id, reason, grace).await?;
            Ok(v1::CancelSessionResponse { session: Some(session.to_proto()) })
        })
        .await
    }
}
