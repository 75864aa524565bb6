//! One table of all methods on the port, with what holds for each. A test compares it with the descriptors.

use std::collections::HashMap;
use std::sync::LazyLock;

use engine::db::Class;

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
}

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

    /// Whether this is a method of the contract, and not of health or reflection.
    pub fn is_ours(&self) -> bool {
        self.name.starts_with("ops.v1.")
    }
}

const fn unary(name: &'static str, class: Class) -> Method {
    Method { name, shape: Shape::Unary, class, waits: false, reads: false }
}

const fn read(name: &'static str) -> Method {
    Method { name, shape: Shape::Unary, class: Class::Normal, waits: false, reads: true }
}

const fn waiting(name: &'static str, shape: Shape) -> Method {
    Method { name, shape, class: Class::Normal, waits: true, reads: true }
}

const fn stream(name: &'static str, shape: Shape, class: Class) -> Method {
    Method { name, shape, class, waits: false, reads: false }
}

/// All methods on the port.
pub static METHODS: &[Method] = &[
    unary("ops.v1.SessionService/CreateSession", Class::Normal),
    read("ops.v1.SessionService/GetSession"),
    read("ops.v1.SessionService/ListSessions"),
    unary("ops.v1.SessionService/UpdateSession", Class::Normal),
    unary("ops.v1.SessionService/CloseSession", Class::Normal),
    unary("ops.v1.SessionService/CancelSession", Class::Priority),
    unary("ops.v1.RunService/EnqueueRun", Class::Normal),
    unary("ops.v1.RunService/EnqueueRuns", Class::Normal),
    read("ops.v1.RunService/GetRun"),
    read("ops.v1.RunService/ListRuns"),
    unary("ops.v1.RunService/CancelRun", Class::Priority),
    waiting("ops.v1.RunService/WaitRun", Shape::Unary),
    waiting("ops.v1.RunService/WatchRuns", Shape::ServerStream),
    read("ops.v1.RunService/ListRunEvents"),
    waiting("ops.v1.RunService/TailRunEvents", Shape::ServerStream),
    stream("ops.v1.WorkerService/Connect", Shape::BidiStream, Class::Engine),
    unary("ops.v1.WorkerService/Claim", Class::Priority),
    unary("ops.v1.WorkerService/Heartbeat", Class::Priority),
    unary("ops.v1.WorkerService/ReportRun", Class::Priority),
    unary("ops.v1.WorkerService/AppendRunEvents", Class::Priority),
    read("ops.v1.WorkerService/ListWorkers"),
    unary("ops.v1.WorkerService/DrainWorker", Class::Priority),
    unary("ops.v1.ArtifactService/CreateArtifact", Class::Normal),
    read("ops.v1.ArtifactService/GetArtifact"),
    read("ops.v1.ArtifactService/ListArtifacts"),
    unary("grpc.health.v1.Health/Check", Class::Normal),
    stream("grpc.health.v1.Health/Watch", Shape::ServerStream, Class::Normal),
    stream("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Shape::BidiStream, Class::Normal),
    stream("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Shape::BidiStream, Class::Normal),
];

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

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

    #[test]
    fn a_path_names_its_method() {
        let found = Method::of_path("/ops.v1.WorkerService/Connect").map(|method| method.class);
        assert_eq!(found, Some(Class::Engine));
        assert_eq!(Method::of_path("ops.v1.WorkerService/Connect"), None);
        assert_eq!(Method::of_path("/ops.v1.WorkerService/Connect/"), None);
    }
}
