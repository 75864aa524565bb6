//! One table of all methods on the port, with what holds for each. A test compares it with the descriptors.

use std::collections::HashMap;
use std::sync::LazyLock;

use engine::db::Class;
use proto::v1::ErrorReason;
use proto::v1::ErrorReason::*;

/// The descriptors of all services on the port, and of the messages that they use.
pub const DESCRIPTORS: [&[u8]; 5] = [
    proto::FILE_DESCRIPTOR_SET,
    tonic_types::pb::FILE_DESCRIPTOR_SET,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// What holds for the calls of a method.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    /// The path of a request without the first slash, as in `ops.v1.RunService/EnqueueRun`.
    pub name: &'static str,
    pub shape: Shape,
    /// Against which limit a call counts ([`super::admission`]), and the class of its work in the database. The
    /// [`Caller`](super::caller::Caller) carries it to the use cases.
    pub class: Class,
    /// Whether a call mostly waits for something to happen. Then it does not count against the limit of calls.
    pub waits: bool,
    /// Whether a call changes nothing, so that it can be refused even after its work.
    pub reads: bool,
    /// Why a call may be refused, beside the reasons of all methods. The contract lists these with each method.
    pub errors: &'static [ErrorReason],
}

/// Why a call of any method of the contract may be refused, as each method lists it.
const LISTED_BY_ALL: [ErrorReason; 3] = [InvalidField, Overloaded, DatabaseUnavailable];

/// Why any call may be refused, as `error.proto` says it for all methods.
const OF_ALL: [ErrorReason; 5] = [DatabaseBusy, DeadlineExceeded, UnsupportedEncoding, AnswerTooLarge, Internal];

/// How many messages a call has in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Unary,
    /// The server answers with a stream.
    ServerStream,
    /// Client and server both send a stream.
    BidiStream,
}

impl Method {
    /// The method that a request's path names.
    pub fn of_path(path: &str) -> Option<&'static Method> {
        static BY_NAME: LazyLock<HashMap<&str, &Method>> =
            LazyLock::new(|| METHODS.iter().map(|method| (method.name, method)).collect());
        BY_NAME.get(path.strip_prefix('/')?).copied()
    }

    /// Whether the contract says that a call may be refused for this reason.
    pub fn may_answer(&self, reason: ErrorReason) -> bool {
        self.errors.contains(&reason) || LISTED_BY_ALL.contains(&reason) || OF_ALL.contains(&reason)
    }

    /// Whether this is a method of the contract, and not of health or reflection.
    pub fn is_ours(&self) -> bool {
        self.name.starts_with("ops.v1.")
    }
}

const fn unary(name: &'static str, class: Class, errors: &'static [ErrorReason]) -> Method {
    Method { name, shape: Shape::Unary, class, waits: false, reads: false, errors }
}

const fn read(name: &'static str, errors: &'static [ErrorReason]) -> Method {
    Method { name, shape: Shape::Unary, class: Class::Normal, waits: false, reads: true, errors }
}

const fn waiting(name: &'static str, shape: Shape, errors: &'static [ErrorReason]) -> Method {
    Method { name, shape, class: Class::Normal, waits: true, reads: true, errors }
}

const fn stream(name: &'static str, shape: Shape, class: Class, errors: &'static [ErrorReason]) -> Method {
    Method { name, shape, class, waits: false, reads: false, errors }
}

/// Why an enqueue may be refused.
const ENQUEUE: &[ErrorReason] =
    &[SessionNotFound, SessionClosed, RunNotFound, RequestIdReused, RequestInProgress, ShuttingDown];

/// All methods on the port.
pub static METHODS: &[Method] = &[
    unary("ops.v1.SessionService/CreateSession", Class::Normal, &[SessionNotFound, RequestIdReused, RequestInProgress]),
    read("ops.v1.SessionService/GetSession", &[SessionNotFound]),
    read("ops.v1.SessionService/ListSessions", &[PageTokenInvalid]),
    unary("ops.v1.SessionService/UpdateSession", Class::Normal, &[SessionNotFound]),
    unary("ops.v1.SessionService/CloseSession", Class::Normal, &[SessionNotFound]),
    unary("ops.v1.SessionService/CancelSession", Class::Priority, &[SessionNotFound]),
    unary("ops.v1.RunService/EnqueueRun", Class::Normal, ENQUEUE),
    unary("ops.v1.RunService/EnqueueRuns", Class::Normal, ENQUEUE),
    read("ops.v1.RunService/GetRun", &[RunNotFound]),
    read("ops.v1.RunService/ListRuns", &[PageTokenInvalid]),
    unary("ops.v1.RunService/CancelRun", Class::Priority, &[RunNotFound]),
    waiting("ops.v1.RunService/WaitRun", Shape::Unary, &[RunNotFound, ShuttingDown]),
    waiting("ops.v1.RunService/WatchRuns", Shape::ServerStream, &[ResumeTokenInvalid, RevisionCompacted]),
    read("ops.v1.RunService/ListRunEvents", &[PageTokenInvalid, RunNotFound]),
    waiting(
        "ops.v1.RunService/TailRunEvents",
        Shape::ServerStream,
        &[ResumeTokenInvalid, RevisionCompacted, RunNotFound, ShuttingDown],
    ),
    stream(
        "ops.v1.WorkerService/Connect",
        Shape::BidiStream,
        Class::Engine,
        &[ProtocolViolation, EventCreditsExceeded, StreamReplaced, ShuttingDown],
    ),
    unary(
        "ops.v1.WorkerService/Claim",
        Class::Priority,
        &[WorkerDraining, RequestIdReused, RequestInProgress, ShuttingDown],
    ),
    unary("ops.v1.WorkerService/Heartbeat", Class::Priority, &[WorkerNotFound, ShuttingDown]),
    unary("ops.v1.WorkerService/ReportRun", Class::Priority, &[RunNotFound, LeaseLost, OutcomeConflict, ShuttingDown]),
    unary("ops.v1.WorkerService/AppendRunEvents", Class::Priority, &[RunNotFound, LeaseLost, ShuttingDown]),
    read("ops.v1.WorkerService/ListWorkers", &[PageTokenInvalid]),
    unary("ops.v1.WorkerService/DrainWorker", Class::Priority, &[WorkerNotFound]),
    unary("ops.v1.WorkerService/UndrainWorker", Class::Priority, &[WorkerNotFound]),
    unary(
        "ops.v1.ArtifactService/CreateArtifact",
        Class::Normal,
        &[RunNotFound, ArtifactNotFound, LeaseLost, RequestIdReused, RequestInProgress],
    ),
    read("ops.v1.ArtifactService/GetArtifact", &[ArtifactNotFound]),
    read("ops.v1.ArtifactService/ListArtifacts", &[PageTokenInvalid, RunNotFound, SessionNotFound]),
    unary("grpc.health.v1.Health/Check", Class::Normal, &[]),
    stream("grpc.health.v1.Health/Watch", Shape::ServerStream, Class::Normal, &[]),
    stream("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Shape::BidiStream, Class::Normal, &[]),
    stream("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Shape::BidiStream, Class::Normal, &[]),
];

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::edge::status::name;

    #[test]
    fn the_table_has_the_methods_of_the_descriptors_and_their_shapes() {
        let mut described = Vec::new();
        for descriptor in DESCRIPTORS {
            for file in FileDescriptorSet::decode(descriptor).expect("a descriptor set").file {
                for service in &file.service {
                    for method in &service.method {
                        let shape = match (method.client_streaming(), method.server_streaming()) {
                            (false, false) => Shape::Unary,
                            (false, true) => Shape::ServerStream,
                            (true, _) => Shape::BidiStream,
                        };
                        described.push((format!("{}.{}/{}", file.package(), service.name(), method.name()), shape));
                    }
                }
            }
        }
        let mut table: Vec<_> = METHODS.iter().map(|method| (method.name.to_owned(), method.shape)).collect();
        described.sort_by(|a, b| a.0.cmp(&b.0));
        table.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(table, described);
    }

    /// The reasons that the contract lists with each method, by the method's path.
    fn documented() -> HashMap<String, Vec<String>> {
        let mut methods: HashMap<String, Vec<String>> = HashMap::new();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/ops/v1");
        for file in std::fs::read_dir(folder).expect("the contract is there") {
            let text = std::fs::read_to_string(file.expect("it is there").path()).expect("it can be read");
            let (mut service, mut comment) = (String::new(), String::new());
            for line in text.lines().map(str::trim) {
                let name = |keyword: &str| line.strip_prefix(keyword)?.split([' ', '(']).next();
                if let Some(words) = line.strip_prefix("//") {
                    comment.push_str(words);
                } else if let Some(name) = name("service ") {
                    service = name.to_owned();
                } else if let Some(name) = name("rpc ") {
                    let errors = comment.split_once("Errors").map_or("", |(_, errors)| errors);
                    let words = errors.split(|letter: char| !(letter.is_ascii_uppercase() || letter == '_'));
                    let is_reason = |word: &&str| (word.len() > 2 && word.contains('_')) || *word == "OVERLOADED";
                    let mut reasons: Vec<String> = words.filter(is_reason).map(str::to_owned).collect();
                    if errors.contains("as EnqueueRun.") {
                        reasons = methods["ops.v1.RunService/EnqueueRun"].clone();
                    }
                    reasons.sort();
                    reasons.dedup();
                    methods.insert(format!("ops.v1.{service}/{name}"), reasons);
                }
                if !line.starts_with("//") {
                    comment.clear();
                }
            }
        }
        methods
    }

    #[test]
    fn the_contract_lists_why_each_method_may_be_refused() {
        let documented = documented();
        for method in METHODS.iter().filter(|method| method.is_ours()) {
            let mut reasons: Vec<&str> = method.errors.iter().chain(&LISTED_BY_ALL).map(|it| name(*it)).collect();
            reasons.sort_unstable();
            assert_eq!(documented[method.name], reasons, "{}", method.name);
        }
    }

    #[test]
    fn a_path_names_its_method() {
        let found = Method::of_path("/ops.v1.WorkerService/Connect").map(|method| method.class);
        assert_eq!(found, Some(Class::Engine));
        assert_eq!(Method::of_path("ops.v1.WorkerService/Connect"), None);
        assert_eq!(Method::of_path("/ops.v1.WorkerService/Connect/"), None);
    }
}
