//! Conversion of domain types to the generated types of the contract.

/// Converts a domain type to its generated type. `From` can not do this: both types belong to other crates.
pub trait ToProto {
    type Proto;

    fn to_proto(self) -> Self::Proto;
}

/// Converts a list.
pub fn to_protos<T: ToProto>(items: Vec<T>) -> Vec<T::Proto> {
    items.into_iter().map(ToProto::to_proto).collect()
}
