"""The service that the counter stack replaces, written as its page describes it: Flask, PyJWT, Redis, gunicorn.

The password of admin is hashed with werkzeug's default, which is what a Flask program does; that of quick
costs next to nothing, for loads that are not about hashing.
"""

import datetime
import functools
import os

import jwt
import redis
from flask import Blueprint, Flask, current_app, jsonify, request
from werkzeug.security import check_password_hash, generate_password_hash

api = Blueprint("api", __name__)
auth = Blueprint("auth", __name__)


def token_required(view):
    @functools.wraps(view)
    def checked(*args, **kwargs):
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            return jsonify(error="Token is missing"), 401
        try:
            jwt.decode(token, current_app.config["SECRET_KEY"], algorithms=["HS256"])
        except jwt.ExpiredSignatureError:
            return jsonify(error="Token has expired"), 401
        except jwt.InvalidTokenError:
            return jsonify(error="Token is invalid"), 401
        return view(*args, **kwargs)

    return checked


@api.get("/ping")
def ping():
    return jsonify(status="ok")


@api.get("/count")
@token_required
def count():
    return jsonify(visits=current_app.extensions["redis"].incr("visits"))


@auth.post("/login")
def login():
    body = request.get_json(silent=True) or {}
    known = current_app.config["ACCOUNTS"].get(body.get("username"))
    if known is None or not check_password_hash(known, body.get("password", "")):
        return jsonify(error="Wrong username or password"), 401
    expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    token = jwt.encode({"user": body["username"], "exp": expires}, current_app.config["SECRET_KEY"], "HS256")
    return jsonify(token=token)


def create_app():
    app = Flask(__name__)
    app.config["SECRET_KEY"] = os.environ["SECRET_KEY"]
    password = os.environ["PASSWORD"]
    app.config["ACCOUNTS"] = {
        "admin": generate_password_hash(password),
        "quick": generate_password_hash(password, method="pbkdf2:sha256:1"),
    }
    app.extensions["redis"] = redis.Redis.from_url(os.environ["REDIS_URL"])
    app.register_blueprint(api, url_prefix="/flask/api")
    app.register_blueprint(auth, url_prefix="/flask/auth")
    return app


app = create_app()
