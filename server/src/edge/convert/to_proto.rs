//! From the domain's types to the contract's.

/// From the domain's type to the contract's. (`From` can not be implemented here, where both types are of other crates.)
pub trait ToProto {
    type Proto;

    fn to_proto(self) -> Self::Proto;
}

/// The same for many.
pub fn to_protos<T: ToProto>(items: Vec<T>) -> Vec<T::Proto> {
    items.into_iter().map(ToProto::to_proto).collect()
}
