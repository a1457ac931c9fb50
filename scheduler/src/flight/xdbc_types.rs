//! The SQL types there are, as ODBC and JDBC tools ask for them (CommandGetXdbcTypeInfo).

use arrow_flight::error::Result;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};

/// Every type, ready to be filtered by its number, in the order of the numbers.
pub(super) fn type_info() -> Result<XdbcTypeInfoData> {
    let mut types = XdbcTypeInfoDataBuilder::new();
    for info in numbers().into_iter().chain(others()) {
        types.append(info);
    }
    types.build()
}

fn numbers() -> [XdbcTypeInfo; 7] {
    let integer = |name, data_type, bits| number(name, data_type, bits, 2);
    let decimal = XdbcTypeInfo {
        create_params: Some(vec!["precision".into(), "scale".into()]),
        fixed_prec_scale: true,
        minimum_scale: Some(0),
        maximum_scale: Some(38),
        ..number("DECIMAL", XdbcDataType::XdbcDecimal, 38, 10)
    };
    [
        integer("TINYINT", XdbcDataType::XdbcTinyint, 8),
        integer("SMALLINT", XdbcDataType::XdbcSmallint, 16),
        integer("INT", XdbcDataType::XdbcInteger, 32),
        integer("BIGINT", XdbcDataType::XdbcBigint, 64),
        number("FLOAT", XdbcDataType::XdbcReal, 24, 2),
        number("DOUBLE", XdbcDataType::XdbcDouble, 53, 2),
        decimal,
    ]
}

fn others() -> [XdbcTypeInfo; 5] {
    let quoted = |info: XdbcTypeInfo| XdbcTypeInfo {
        literal_prefix: Some("'".into()),
        literal_suffix: Some("'".into()),
        ..info
    };
    [
        any("BOOLEAN", XdbcDataType::XdbcBit, 1),
        XdbcTypeInfo {
            case_sensitive: true,
            ..quoted(any("STRING", XdbcDataType::XdbcVarchar, i32::MAX))
        },
        XdbcTypeInfo {
            literal_prefix: Some("X'".into()),
            literal_suffix: Some("'".into()),
            searchable: Searchable::Basic,
            ..any("BINARY", XdbcDataType::XdbcVarbinary, i32::MAX)
        },
        // The widths of `2026-11-21` and of `2026-11-21 10:55:45.123456`.
        quoted(any("DATE", XdbcDataType::XdbcDate, 10)),
        XdbcTypeInfo {
            datetime_subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
            minimum_scale: Some(0),
            maximum_scale: Some(6),
            ..quoted(any("TIMESTAMP", XdbcDataType::XdbcTimestamp, 26))
        },
    ]
}

fn number(name: &str, data_type: XdbcDataType, digits: i32, radix: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        num_prec_radix: Some(radix),
        searchable: Searchable::Basic,
        ..any(name, data_type, digits)
    }
}

fn any(name: &str, data_type: XdbcDataType, size: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.into(),
        local_type_name: Some(name.into()),
        data_type,
        sql_data_type: data_type,
        column_size: Some(size),
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        ..XdbcTypeInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_found_by_its_number() {
        let types = type_info().unwrap();
        assert_eq!(types.record_batch(None).unwrap().num_rows(), 12);
        let varchar = XdbcDataType::XdbcVarchar as i32;
        assert_eq!(types.record_batch(varchar).unwrap().num_rows(), 1);
    }
}
