//! `vector_sum(v)` and `vector_avg(v)`, as Spark 4.2 has them, for vectors of DOUBLE too.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, ScalarValue, exec_err, not_impl_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator,
    Signature, Volatility,
};

use super::VECTOR_AGGREGATES;
use super::sums::{MovingSums, Sums, Total, for_each_state, state_type, states};
use crate::functions::vectors::{Element, Rows, Vectors, coerce, element_type, list_like};

/// The functions of this file.
pub(super) fn functions() -> Vec<AggregateUDF> {
    [Total::Sum, Total::Average]
        .map(|total| AggregateUDF::new_from_impl(VectorSum::new(total)))
        .into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct VectorSum {
    total: Total,
    signature: Signature,
    documentation: Documentation,
}

impl VectorSum {
    fn new(total: Total) -> Self {
        Self {
            total,
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: documentation(total),
        }
    }

    fn answer(&self, args: &AccumulatorArgs) -> Result<Answer> {
        if args.is_distinct {
            return not_impl_err!(
                "{} over DISTINCT vectors; take them from SELECT DISTINCT",
                self.name()
            );
        }
        Ok(Answer {
            total: self.total,
            list: args.return_field.data_type().clone(),
        })
    }
}

fn name(total: Total) -> &'static str {
    match total {
        Total::Sum => "vector_sum",
        Total::Average => "vector_avg",
    }
}

impl AggregateUDFImpl for VectorSum {
    fn name(&self) -> &str {
        name(self.total)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [vector] = take_function_args(self.name(), arg_types)?;
        Ok(vec![coerce(self.name(), vector)?])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [vector] = take_function_args(self.name(), arg_types)?;
        Ok(list_like(vector, element_type(vector)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |name, data_type| {
            Arc::new(Field::new(
                format_state_name(args.name, name),
                data_type,
                true,
            ))
        };
        Ok(vec![
            field("sums", state_type()),
            field("count", DataType::Int64),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup {
            answer: self.answer(&args)?,
            sums: Sums::default(),
        }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(ManyGroups {
            answer: self.answer(&args)?,
            groups: Vec::new(),
            elements: 0,
        }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Window {
            answer: self.answer(&args)?,
            sums: MovingSums::default(),
        }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// What is computed of the sums, and its type.
#[derive(Debug)]
struct Answer {
    total: Total,
    list: DataType,
}

impl Answer {
    fn name(&self) -> &'static str {
        name(self.total)
    }

    fn vectors(&self, groups: &[Sums]) -> Result<ArrayRef> {
        match element_type(&self.list) {
            DataType::Float32 => self.total.vectors::<f32>(groups, &self.list),
            _ => self.total.vectors::<f64>(groups, &self.list),
        }
    }

    fn value(&self, sums: &Sums) -> Result<ScalarValue> {
        let vector = self.vectors(std::slice::from_ref(sums))?;
        ScalarValue::try_from_array(&vector, 0)
    }
}

fn only<'a>(function: &str, values: &'a [ArrayRef]) -> Result<Vectors<'a>> {
    let [list]: [&ArrayRef; 1] = take_function_args(function, values)?;
    Vectors::new(list)
}

fn state_values(sums: &Sums) -> Result<Vec<ScalarValue>> {
    states(std::slice::from_ref(sums))?
        .iter()
        .map(|column| ScalarValue::try_from_array(column, 0))
        .collect()
}

/// Without GROUP BY.
#[derive(Debug)]
struct OneGroup {
    answer: Answer,
    sums: Sums,
}

impl OneGroup {
    fn add_all<T: Element>(&mut self, vectors: &Rows<'_, T>) -> Result<()> {
        let name = self.answer.name();
        let mut present = vectors.iter().flatten();
        present.try_for_each(|vector| self.sums.add(name, vector))
    }
}

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match only(self.answer.name(), values)? {
            Vectors::F32(vectors) => self.add_all(&vectors),
            Vectors::F64(vectors) => self.add_all(&vectors),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let name = self.answer.name();
        for_each_state(states, |_, sums, count| self.sums.merge(name, sums, count))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        state_values(&self.sums)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.answer.value(&self.sums)
    }

    fn size(&self) -> usize {
        size_of_val(self) + size_of::<f64>() * self.sums.elements()
    }
}

/// Over a window whose frame moves.
#[derive(Debug)]
struct Window {
    answer: Answer,
    sums: MovingSums,
}

impl Window {
    fn add_all<T: Element>(&mut self, vectors: &Rows<'_, T>) -> Result<()> {
        let name = self.answer.name();
        let mut present = vectors.iter().flatten();
        present.try_for_each(|vector| self.sums.add(name, vector))
    }

    fn remove_all<T: Element>(&mut self, vectors: &Rows<'_, T>) {
        for vector in vectors.iter().flatten() {
            self.sums.remove(vector);
        }
    }
}

impl Accumulator for Window {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match only(self.answer.name(), values)? {
            Vectors::F32(vectors) => self.add_all(&vectors),
            Vectors::F64(vectors) => self.add_all(&vectors),
        }
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match only(self.answer.name(), values)? {
            Vectors::F32(vectors) => self.remove_all(&vectors),
            Vectors::F64(vectors) => self.remove_all(&vectors),
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        exec_err!(
            "a window of {} is computed in one place",
            self.answer.name()
        )
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        state_values(&self.sums.sums())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.answer.value(&self.sums.sums())
    }

    fn size(&self) -> usize {
        size_of_val(self) + size_of::<f64>() * self.sums.elements()
    }
}

/// With GROUP BY.
#[derive(Debug)]
struct ManyGroups {
    answer: Answer,
    groups: Vec<Sums>,
    /// How many f64 all groups hold together.
    elements: usize,
}

/// True for a row that `FILTER (WHERE …)` lets through.
fn passes(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

impl ManyGroups {
    fn grow(&mut self, groups: usize) {
        self.groups.resize_with(groups, Sums::default);
    }

    fn merge<T: Element>(&mut self, group: usize, sum: &[T], count: i64) -> Result<()> {
        let name = self.answer.name();
        let Some(sums) = self.groups.get_mut(group) else {
            return exec_err!("{name} finds no group {group}");
        };
        let before = sums.elements();
        sums.merge(name, sum, count)?;
        self.elements += sums.elements() - before;
        Ok(())
    }

    fn add_all<T: Element>(
        &mut self,
        vectors: &Rows<'_, T>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        for (row, (vector, group)) in vectors.iter().zip(groups).enumerate() {
            if let Some(vector) = vector
                && passes(filter, row)
            {
                self.merge(*group, vector, 1)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Sums> {
        let taken = emit_to.take_needed(&mut self.groups);
        self.elements -= taken.iter().map(Sums::elements).sum::<usize>();
        taken
    }
}

/// Each row as a group of its own.
fn rows_as_groups<T: Element>(
    function: &str,
    vectors: &Rows<'_, T>,
    filter: Option<&BooleanArray>,
) -> Result<Vec<Sums>> {
    let row_as_group = |(row, vector): (usize, Option<&[T]>)| {
        let mut sums = Sums::default();
        if let Some(vector) = vector
            && passes(filter, row)
        {
            sums.add(function, vector)?;
        }
        Ok(sums)
    };
    vectors.iter().enumerate().map(row_as_group).collect()
}

impl GroupsAccumulator for ManyGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        match only(self.answer.name(), values)? {
            Vectors::F32(vectors) => self.add_all(&vectors, group_indices, opt_filter),
            Vectors::F64(vectors) => self.add_all(&vectors, group_indices, opt_filter),
        }
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        for_each_state(values, |row, sums, count| match group_indices.get(row) {
            Some(group) => self.merge(*group, sums, count),
            None => Ok(()),
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.take(emit_to);
        self.answer.vectors(&groups)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        states(&self.take(emit_to))
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let name = self.answer.name();
        states(&match only(name, values)? {
            Vectors::F32(vectors) => rows_as_groups(name, &vectors, opt_filter)?,
            Vectors::F64(vectors) => rows_as_groups(name, &vectors, opt_filter)?,
        })
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + size_of::<Sums>() * self.groups.capacity()
            + size_of::<f64>() * self.elements
    }
}

fn documentation(total: Total) -> Documentation {
    let (what, related, example) = match total {
        Total::Sum => (
            "Sum of the vectors of a group, element by element.",
            "vector_avg",
            "SELECT vector_sum(v) AS sum FROM VALUES ([1, 2]), ([3, 5]), (NULL) AS t(v);",
        ),
        Total::Average => (
            "Mean of the vectors of a group, element by element: their centroid.",
            "vector_sum",
            "SELECT vector_avg(v) AS centroid FROM VALUES ([1, 2]), ([3, 5]), (NULL) AS t(v);",
        ),
    };
    Documentation::builder(
        VECTOR_AGGREGATES,
        format!(
            "{what} Vectors of different lengths are an error. Sums are kept as DOUBLE; NaN and \
             infinity count as in IEEE 754. Usable over window frames.\n\n\
             Returns an array of the kind and length of `v`: of FLOAT for FLOAT elements, of \
             DOUBLE for all others."
        ),
        format!("{}(v)", name(total)),
    )
    .with_argument("v", "An array of numbers.")
    .with_sql_example(format!("```sql\n{example}\n```"))
    .with_related_udf(related)
    .with_related_udf("vector_kmeans")
    .build()
}
