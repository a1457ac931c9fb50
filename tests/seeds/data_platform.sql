-- Users table
CREATE TABLE users (
    user_id STRING,
    name STRING,
    email STRING,
    created_at TIMESTAMP,
    last_login TIMESTAMP
) USING DELTA
PARTITIONED BY (created_at)

-- Products table
CREATE TABLE products (
    product_id STRING,
    name STRING,
    category STRING,
    price DOUBLE,
    created_at TIMESTAMP
) USING DELTA
PARTITIONED BY (category)

-- Transactions table
CREATE TABLE transactions (
    transaction_id STRING,
    user_id STRING,
    product_id STRING,
    quantity INT,
    total_amount DOUBLE,
    transaction_time TIMESTAMP
) USING DELTA
PARTITIONED BY (date(transaction_time))
