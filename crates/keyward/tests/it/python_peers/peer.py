"""What PyJWT and joserfc make of keys and tokens.

Reads a JSON list of requests from standard input and writes a list of answers: the result as a text, or an
object with `error`. Each request names the library, what to do, the algorithm, and what to do it with.
"""

import json
import sys
import warnings

import jwt as pyjwt
from joserfc import jwe, jwk, jws

# joserfc warns of keys and algorithms that it finds old; they are what is tested here.
warnings.simplefilter("ignore")


def pyjwt_key(request):
    return pyjwt.PyJWK(request["key"], algorithm=request["alg"]).key


def key_of(request):
    return jwk.import_key(request["key"])


def pyjwt_sign(request):
    headers = {"kid": request["key"]["kid"]} if request.get("with_kid") else None
    return pyjwt.encode(request["claims"], pyjwt_key(request), algorithm=request["alg"], headers=headers)


def pyjwt_verify(request):
    claims = pyjwt.decode(
        request["token"],
        pyjwt_key(request),
        algorithms=[request["alg"]],
        audience=request["audience"],
        issuer=request["issuer"],
        options={"require": ["exp", "iat", "jti"]},
    )
    return claims["sub"]


def joserfc_sign(request):
    protected = {"alg": request["alg"]}
    return jws.serialize_compact(protected, request["payload"], key_of(request), algorithms=[request["alg"]])


def joserfc_verify(request):
    signed = jws.deserialize_compact(request["token"], key_of(request), algorithms=[request["alg"]])
    return signed.payload.decode()


def joserfc_encrypt(request):
    protected = {"alg": request["alg"], "enc": request["enc"]}
    algorithms = [request["alg"], request["enc"]]
    return jwe.encrypt_compact(protected, request["payload"], key_of(request), algorithms=algorithms)


def joserfc_decrypt(request):
    algorithms = [request["alg"], request["enc"]]
    opened = jwe.decrypt_compact(request["token"], key_of(request), algorithms=algorithms)
    return opened.plaintext.decode()


def joserfc_generate(request):
    key = jwk.generate_key(request["kty"], request["parameter"], {"kid": request["kid"]}, private=True)
    return json.dumps(key.as_dict(private=True))


def joserfc_thumbprint(request):
    return key_of(request).thumbprint()


def answer(request):
    try:
        return globals()[request["library"] + "_" + request["do"]](request)
    except Exception as error:  # what a library refuses is an answer, too
        return {"error": f"{type(error).__name__}: {error}"}


json.dump([answer(request) for request in json.load(sys.stdin)], sys.stdout)
