"""Trains the model and the scaler of the recommendations.

    pip install numpy xgboost
    python train.py ORDERS.ndjson[.gz]

ORDERS has the orders that `streamctl sample load cart --orders 100k` writes to the bucket, below orders/. The last order of
each user is what is predicted: whether a product that the user ordered before is in it. The features are made of the orders
before. Of the users, every fifth is left out of the training and measures the model. Writes model.json and scaler.json.
"""

import collections
import gzip
import json
import math
import sys

import numpy
import xgboost

FEATURES = [
    "user_orders", "user_periods", "user_mean_days_since_prior", "user_products", "user_distinct_products",
    "user_reorder_ratio", "prod_orders", "prod_reorders", "prod_first_orders", "prod_second_orders",
]


def users(path):
    """The orders of each user, in their order."""
    with (gzip.open if path.endswith(".gz") else open)(path, "rt") as lines:
        orders = []
        for order in map(json.loads, lines):
            if orders and orders[-1]["user_id"] != order["user_id"]:
                yield orders
                orders = []
            orders.append(order)
        yield orders


def main(path):
    people, products = [], collections.defaultdict(lambda: [0, 0, 0, 0])
    for orders in users(path):
        *before, last = orders
        if not before:
            continue
        bought, lines, reordered, later = collections.Counter(), 0, 0, 0
        for number, order in enumerate(before):
            for line in order["products"]:
                product = products[line["product_id"]]
                bought[line["product_id"]] += 1
                times = bought[line["product_id"]]
                product[0] += 1
                product[1] += line["reordered"]
                product[2] += times == 1
                product[3] += times == 2
                lines += 1
                reordered += line["reordered"]
                later += number > 0
        days = [order["days_since_prior"] or 0 for order in before]
        ratio = reordered / later if later else math.nan
        features = [before[-1]["order_number"], sum(days), sum(days) / len(days), lines, len(bought), ratio]
        wanted = {line["product_id"] for line in last["products"]}
        people.append((last["user_id"], features, bought, wanted))

    rows, labels, held = [], [], []
    for user, features, bought, wanted in people:
        for product in bought:
            rows.append(features + products[product])
            labels.append(product in wanted)
            held.append(user % 5 == 0)
    rows, labels, held = numpy.array(rows, dtype=float), numpy.array(labels), numpy.array(held)
    mean, scale = numpy.nanmean(rows[~held], axis=0), numpy.nanstd(rows[~held], axis=0)
    scale[scale == 0] = 1
    scaled = ((rows - mean) / scale).astype(numpy.float32)

    model = xgboost.train(
        {"objective": "binary:logistic", "max_depth": 4, "eta": 0.3, "tree_method": "hist", "nthread": 1, "seed": 0},
        xgboost.DMatrix(scaled[~held], label=labels[~held], feature_names=FEATURES),
        num_boost_round=24,
    )
    given = model.predict(xgboost.DMatrix(scaled[held], feature_names=FEATURES))
    print(f"{(~held).sum()} rows to train, {held.sum()} to measure, {labels.mean():.3f} of them ordered")
    print(f"log loss {log_loss(labels[held], given):.4f}, with the average alone "
          f"{log_loss(labels[held], numpy.full(held.sum(), labels[~held].mean())):.4f}; AUC {auc(labels[held], given):.3f}")
    model.save_model("model.json")
    with open("scaler.json", "w") as file:
        json.dump({"mean": mean.round(9).tolist(), "scale": scale.round(9).tolist()}, file)
        file.write("\n")


def log_loss(labels, given):
    return -numpy.where(labels, numpy.log(given), numpy.log(1 - given)).mean()


def auc(labels, given):
    """How often a product that was ordered has a higher probability than one that was not."""
    places = numpy.empty(len(given))
    places[given.argsort(kind="stable")] = numpy.arange(1, len(given) + 1)
    ordered = labels.sum()
    return (places[labels].sum() - ordered * (ordered + 1) / 2) / (ordered * (len(labels) - ordered))


main(sys.argv[1])
