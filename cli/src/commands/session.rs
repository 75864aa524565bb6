//! `ops session ...`

use anyhow::Result;
use client::Client;
use proto::v1::{
    CancelSessionRequest, CloseSessionRequest, CreateSessionRequest, GetSessionRequest, ListSessionsRequest,
    ListSessionsResponse, Session, SessionStatus, create_session_request::Context,
};

use super::pages;
use crate::{
    args::session::{SessionArgs, SessionCancel, SessionCreate, SessionList, SessionVerb},
    connection,
    exit::Exit,
    output::{self, Format},
};

pub(crate) async fn execute(args: SessionArgs) -> Result<Exit> {
    let format = args.output.output;
    let server = &args.target.server;
    match args.verb {
        SessionVerb::Create(create) => {
            let request = create_request(create)?;
            print(
                format,
                connection::connect(server).await?.sessions().create_session(request).await?.into_inner().session,
            )
        }
        SessionVerb::List(list) => print_list(format, connection::connect(server).await?, list).await,
        SessionVerb::Get { session_id } => {
            let request = GetSessionRequest { session_id };
            print(
                format,
                connection::connect(server).await?.sessions().get_session(request).await?.into_inner().session,
            )
        }
        SessionVerb::Close { session_id } => {
            let request = CloseSessionRequest { session_id };
            print(
                format,
                connection::connect(server).await?.sessions().close_session(request).await?.into_inner().session,
            )
        }
        SessionVerb::Cancel(cancel) => {
            let request = cancel_request(cancel)?;
            print(
                format,
                connection::connect(server).await?.sessions().cancel_session(request).await?.into_inner().session,
            )
        }
    }
}

fn create_request(create: SessionCreate) -> Result<CreateSessionRequest> {
    Ok(CreateSessionRequest {
        name: create.name,
        description: create.description,
        triggered_by: create.triggered_by,
        context: create.context.map(|context| context.read().map(Context::ContextJson)).transpose()?,
        request_id: create.request_id,
    })
}

fn cancel_request(cancel: SessionCancel) -> Result<CancelSessionRequest> {
    Ok(CancelSessionRequest {
        session_id: cancel.session_id,
        reason: cancel.reason,
        grace: cancel.grace.map(TryInto::try_into).transpose()?,
    })
}

async fn print_list(format: Format, client: Client, list: SessionList) -> Result<Exit> {
    let statuses: Vec<i32> = list.status.into_iter().map(|status| SessionStatus::from(status).into()).collect();
    let (sessions, next_page_token) = pages::collect(list.limit, async |page_size, page_token| {
        let request = ListSessionsRequest { statuses: statuses.clone(), page_size, page_token };
        let page = client.sessions().list_sessions(request).await?.into_inner();
        Ok((page.sessions, page.next_page_token))
    })
    .await?;
    let page = ListSessionsResponse { sessions, next_page_token };
    output::list(format, "ListSessionsResponse", &page, &page.sessions)?;
    output::mention_more(&page.next_page_token);
    Ok(Exit::Success)
}

fn print(format: Format, session: Option<Session>) -> Result<Exit> {
    output::record(format, &session.unwrap_or_default())?;
    Ok(Exit::Success)
}
