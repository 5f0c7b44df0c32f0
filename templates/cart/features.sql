-- The features of users and products, made of orders in Amazon Athena: the same numbers as `cart-features` writes.
--
-- The orders are the files that `cart-features` reads: a line of JSON an order, also compressed with gzip. `setup cart` with
-- athena=true makes the table of the orders, the database of its output database_name, and the work group workgroup_name. Run
-- the last two statements there, one after the other. To make the features anew, drop their tables and delete the objects
-- below athena/tables/ first.
--
-- Without athena=true, run the first statement too, with the name of the data bucket in place of DATA_BUCKET.

CREATE EXTERNAL TABLE IF NOT EXISTS orders (
    user_id bigint,
    order_number bigint,
    days_since_prior double,
    products array<struct<product_id: string, reordered: bigint>>
)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
LOCATION 's3://DATA_BUCKET/orders/';

CREATE TABLE user_features WITH (format = 'PARQUET') AS
SELECT user_id,
    user_orders,
    user_periods,
    user_mean_days_since_prior,
    coalesce(user_products, 0) AS user_products,
    coalesce(user_distinct_products, 0) AS user_distinct_products,
    user_reorder_ratio
FROM (
    SELECT user_id,
        max(order_number) AS user_orders,
        sum(coalesce(days_since_prior, 0)) AS user_periods,
        avg(coalesce(days_since_prior, 0)) AS user_mean_days_since_prior
    FROM orders
    GROUP BY user_id
) AS periods
LEFT JOIN (
    SELECT user_id,
        count(*) AS user_products,
        count(DISTINCT products[line].product_id) AS user_distinct_products,
        -- NULL for a user with a first order only.
        CAST(sum(products[line].reordered) AS double) / nullif(count_if(order_number > 1), 0) AS user_reorder_ratio
    FROM orders
    CROSS JOIN UNNEST(CASE WHEN cardinality(products) > 0 THEN sequence(1, cardinality(products)) END) AS lines (line)
    GROUP BY user_id
) AS purchases USING (user_id);

CREATE TABLE product_features WITH (format = 'PARQUET') AS
SELECT product_id,
    count(*) AS prod_orders,
    sum(reordered) AS prod_reorders,
    count_if(purchase = 1) AS prod_first_orders,
    count_if(purchase = 2) AS prod_second_orders
FROM (
    SELECT products[line].product_id AS product_id,
        products[line].reordered AS reordered,
        row_number() OVER (PARTITION BY user_id, products[line].product_id ORDER BY order_number) AS purchase
    FROM orders
    CROSS JOIN UNNEST(CASE WHEN cardinality(products) > 0 THEN sequence(1, cardinality(products)) END) AS lines (line)
) AS purchases
GROUP BY product_id;
