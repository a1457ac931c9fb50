//! What the service says about itself and its SQL (CommandGetSqlInfo).
//!
//! Older JDBC drivers fail on an item that is missing, so all of those they ask for are here. The
//! kind of each value (text, boolean, 64-bit number, bit mask, list, map) is the one JDBC and ADBC
//! cast it to.

use std::collections::BTreeMap;

use arrow_flight::error::Result;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity,
    SqlSupportedGroupBy, SqlSupportedResultSetConcurrency, SqlSupportedResultSetType,
    SqlSupportedSubqueries, SqlSupportedTransaction, SqlSupportedUnions, SqlSupportsConvert,
    SqlTransactionIsolationLevel, SupportedSqlGrammar,
};

/// Words that have to be quoted to be names, besides those of SQL:2003.
const KEYWORDS: &[&str] = &[
    "ANTI", "EXCEPT", "EXPLAIN", "ILIKE", "LATERAL", "LIMIT", "MINUS", "OFFSET", "PIVOT",
    "QUALIFY", "SEMI", "SHOW", "UNNEST", "UNPIVOT",
];
const NUMERIC_FUNCTIONS: &[&str] = &[
    "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cot", "degrees", "exp", "floor", "ln",
    "log", "log10", "log2", "pi", "power", "radians", "random", "round", "signum", "sin", "sqrt",
    "tan", "trunc",
];
const STRING_FUNCTIONS: &[&str] = &[
    "ascii",
    "btrim",
    "char_length",
    "chr",
    "concat",
    "concat_ws",
    "contains",
    "ends_with",
    "initcap",
    "left",
    "length",
    "levenshtein",
    "lower",
    "lpad",
    "ltrim",
    "octet_length",
    "regexp_like",
    "regexp_match",
    "regexp_replace",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rpad",
    "rtrim",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "translate",
    "upper",
];
const SYSTEM_FUNCTIONS: &[&str] = &["coalesce", "nullif", "nvl", "version"];
const DATETIME_FUNCTIONS: &[&str] = &[
    "current_date",
    "current_time",
    "date_bin",
    "date_part",
    "date_trunc",
    "from_unixtime",
    "make_date",
    "now",
    "to_char",
    "to_date",
    "to_timestamp",
];

/// Every item, ready to be filtered.
pub(super) fn sql_info() -> Result<SqlInfoData> {
    let mut info = SqlInfoDataBuilder::new();
    server(&mut info);
    language(&mut info);
    objects(&mut info);
    limits(&mut info);
    transactions(&mut info);
    result_sets(&mut info);
    info.build()
}

fn server(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::FlightSqlServerName, "Shoal");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
    info.append(SqlInfo::FlightSqlServerReadOnly, false);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerSubstraitMinVersion, "");
    info.append(SqlInfo::FlightSqlServerSubstraitMaxVersion, "");
    info.append(
        SqlInfo::FlightSqlServerTransaction,
        SqlSupportedTransaction::None as i32,
    );
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    info.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, 0_i32);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0_i32);
}

fn language(info: &mut SqlInfoDataBuilder) {
    let case = SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i64;
    info.append(SqlInfo::SqlIdentifierCase, case);
    info.append(SqlInfo::SqlQuotedIdentifierCase, case);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    info.append(
        SqlInfo::SqlNullOrdering,
        SqlNullOrdering::SqlNullsSortedHigh as i64,
    );
    info.append(SqlInfo::SqlKeywords, KEYWORDS);
    info.append(SqlInfo::SqlNumericFunctions, NUMERIC_FUNCTIONS);
    info.append(SqlInfo::SqlStringFunctions, STRING_FUNCTIONS);
    info.append(SqlInfo::SqlSystemFunctions, SYSTEM_FUNCTIONS);
    info.append(SqlInfo::SqlDatetimeFunctions, DATETIME_FUNCTIONS);
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlExtraNameCharacters, "");
    info.append(SqlInfo::SqlSupportsColumnAliasing, true);
    info.append(SqlInfo::SqlNullPlusNullIsNull, true);
    info.append(SqlInfo::SqlSupportsConvert, conversions());
    info.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    info.append(SqlInfo::SqlSupportsDifferentTableCorrelationNames, false);
    info.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    info.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    info.append(
        SqlInfo::SqlSupportedGroupBy,
        mask(&[
            SqlSupportedGroupBy::SqlGroupByUnrelated as i32,
            SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32,
        ]),
    );
    info.append(SqlInfo::SqlSupportsLikeEscapeClause, true);
    info.append(SqlInfo::SqlSupportsNonNullableColumns, true);
    info.append(
        SqlInfo::SqlSupportedGrammar,
        mask(&[
            SupportedSqlGrammar::SqlMinimumGrammar as i32,
            SupportedSqlGrammar::SqlCoreGrammar as i32,
        ]),
    );
    // Bit 0 is the entry level, SUPPORTED_ANSI92_ENTRY_SQL.
    info.append(SqlInfo::SqlAnsi92SupportedLevel, mask(&[0]));
    info.append(SqlInfo::SqlSupportsIntegrityEnhancementFacility, false);
    info.append(
        SqlInfo::SqlOuterJoinsSupportLevel,
        mask(&[
            SqlOuterJoinsSupportLevel::SqlLimitedOuterJoins as i32,
            SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32,
        ]),
    );
    info.append(
        SqlInfo::SqlSupportedSubqueries,
        mask(&[
            SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32,
            SqlSupportedSubqueries::SqlSubqueriesInExists as i32,
            SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
        ]),
    );
    info.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    info.append(
        SqlInfo::SqlSupportedUnions,
        mask(&[
            SqlSupportedUnions::SqlUnion as i32,
            SqlSupportedUnions::SqlUnionAll as i32,
        ]),
    );
}

fn objects(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlDdlCatalog, true);
    info.append(SqlInfo::SqlDdlSchema, true);
    info.append(SqlInfo::SqlDdlTable, true);
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    info.append(SqlInfo::SqlCatalogTerm, "catalog");
    info.append(SqlInfo::SqlSchemaTerm, "schema");
    info.append(SqlInfo::SqlProcedureTerm, "");
    info.append(SqlInfo::SqlCatalogAtStart, true);
    let nowhere_special = mask(&[]);
    info.append(SqlInfo::SqlSchemasSupportedActions, nowhere_special);
    info.append(SqlInfo::SqlCatalogsSupportedActions, nowhere_special);
    info.append(SqlInfo::SqlSupportedPositionedCommands, nowhere_special);
    info.append(SqlInfo::SqlSelectForUpdateSupported, false);
    info.append(SqlInfo::SqlStoredProceduresSupported, false);
    info.append(SqlInfo::SqlNamedParametersSupported, false);
    info.append(SqlInfo::SqlLocatorsUpdateCopy, false);
    info.append(SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, false);
}

/// In JDBC 0 stands for "no limit, or not known".
fn limits(info: &mut SqlInfoDataBuilder) {
    for limit in [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxColumnsInTable,
        SqlInfo::SqlMaxConnections,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxStatementLength,
        SqlInfo::SqlMaxStatements,
        SqlInfo::SqlMaxTableNameLength,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ] {
        info.append(limit, 0_i64);
    }
    info.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
}

fn transactions(info: &mut SqlInfoDataBuilder) {
    info.append(
        SqlInfo::SqlDefaultTransactionIsolation,
        SqlTransactionIsolationLevel::SqlTransactionNone as i64,
    );
    info.append(SqlInfo::SqlTransactionsSupported, false);
    info.append(
        SqlInfo::SqlSupportedTransactionsIsolationLevels,
        mask(&[SqlTransactionIsolationLevel::SqlTransactionNone as i32]),
    );
    info.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, true);
    info.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false);
    info.append(SqlInfo::SqlBatchUpdatesSupported, true);
    info.append(SqlInfo::SqlSavepointsSupported, false);
}

fn result_sets(info: &mut SqlInfoDataBuilder) {
    let forward_only = SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32;
    info.append(SqlInfo::SqlSupportedResultSetTypes, mask(&[forward_only]));
    let read_only =
        mask(&[SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32]);
    info.append(
        SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly,
        read_only,
    );
    for other in [
        SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified,
        SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive,
        SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive,
    ] {
        info.append(other, mask(&[]));
    }
}

/// Which types CAST turns into which.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert as Type;
    let numbers = [
        Type::SqlConvertBigint,
        Type::SqlConvertDecimal,
        Type::SqlConvertFloat,
        Type::SqlConvertInteger,
        Type::SqlConvertNumeric,
        Type::SqlConvertReal,
        Type::SqlConvertSmallint,
        Type::SqlConvertTinyint,
        Type::SqlConvertBit,
    ];
    let texts = [Type::SqlConvertChar, Type::SqlConvertVarchar];
    let times = [Type::SqlConvertDate, Type::SqlConvertTimestamp];
    let binaries = [Type::SqlConvertBinary, Type::SqlConvertVarbinary];
    let to = |groups: &[&[Type]]| -> Vec<i32> {
        groups.concat().into_iter().map(|to| to as i32).collect()
    };
    let mut conversions = BTreeMap::new();
    for from in numbers {
        conversions.insert(from as i32, to(&[&numbers, &texts]));
    }
    for from in texts {
        conversions.insert(from as i32, to(&[&numbers, &texts, &times, &binaries]));
    }
    for from in times {
        conversions.insert(from as i32, to(&[&times, &texts]));
    }
    for from in binaries {
        conversions.insert(from as i32, to(&[&binaries, &texts]));
    }
    conversions
}

fn mask(bits: &[i32]) -> i32 {
    bits.iter().fold(0, |mask, bit| mask | 1 << bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_of_the_protocol_has_a_value() {
        let batch = sql_info().unwrap().record_batch([]).unwrap();
        let numbers = (0..=11).chain([100, 101]).chain(500..=576);
        assert_eq!(batch.num_rows(), numbers.count());
    }

    #[test]
    fn every_function_listed_exists() {
        let state = datafusion::prelude::SessionContext::new().state();
        let lists = [
            NUMERIC_FUNCTIONS,
            STRING_FUNCTIONS,
            SYSTEM_FUNCTIONS,
            DATETIME_FUNCTIONS,
        ];
        for name in lists.concat() {
            assert!(state.scalar_functions().contains_key(name), "{name}");
        }
    }

    #[test]
    fn only_the_items_asked_for_are_returned() {
        let name = SqlInfo::FlightSqlServerName as u32;
        let batch = sql_info().unwrap().record_batch([name]).unwrap();
        assert_eq!(batch.num_rows(), 1);
    }
}
